//! The binary. Everything is in the library.

fn main() -> std::process::ExitCode {
    squall_coordinator::main()
}
