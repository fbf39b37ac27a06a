//! The program from outside: its exit codes and messages when something is wrong.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn squall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(arguments)
        .env_remove("SQUALL_DATABASE_URL")
        .output()
        .unwrap()
}

/// Checks the exit code and that the message says all of that.
fn refuses(arguments: &[&str], code: i32, says: &[&str]) {
    let output = squall(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for text in says {
        assert!(
            message.contains(text),
            "{arguments:?}: no `{text}` in: {message}"
        );
    }
}

const HEADER: &str = r#"{"squall_history":1,"seed":1,"workload":"mww","keys":2,"clients":[{"name":"native-1","kind":"native"}],"recovery_deadline_ms":1000,"started_at_ms":0}"#;

fn check(history: &str, folder: &Path) -> Output {
    let file = folder.join("history.jsonl");
    fs::write(&file, history).unwrap();
    squall(&["check", file.to_str().unwrap()])
}

#[test]
fn bad_options_are_refused_with_the_right_ones() {
    refuses(
        &["run", "--fleet", "browser=2"],
        64,
        &["browser", "native, wasm"],
    );
    refuses(
        &["run", "--faults", "tab.relaod"],
        64,
        &["tab.relaod", "tab.reload"],
    );
    refuses(&["run", "--time", "soon"], 64, &["30s"]);
    refuses(&["run", "--keys", "3"], 64, &["--writes", "3"]);
    refuses(&["run", "--rate", "-1"], 64, &[]);
    refuses(&["run", "--rate=0"], 64, &["--rate"]);
    refuses(
        &["run", "--service-url", "http://localhost:1"],
        64,
        &["--database-url"],
    );
    refuses(&["storm"], 64, &[]);
    refuses(&["run", "--plan", "/no/such/plan"], 64, &["/no/such/plan"]);
}

#[test]
fn bad_shapes_are_refused_with_the_right_ones() {
    for (arguments, says) in [
        ("--workload set", "mww, ledger, list-append, gset"),
        (
            "--workload gset --payload",
            "--payload: only the workload ledger",
        ),
        ("--writes 5..2", "2..5"),
        ("--writes 0", "at least 1"),
        ("--writes many", "1..8"),
        (
            "--writes 1..101 --workload mww",
            "--writes: 101 must be at most the number of rows, 100",
        ),
        ("--keys 0", "--keys 0: must be from 1 to 100000"),
        (
            "--workload list-append --keys 4",
            "--keys 4: list-append needs at least 6: one for each of the 6 clients, for its probe",
        ),
        (
            "--workload counter --keys 9",
            "--keys 9: counter needs at least 10: one for each of the 6 clients, for its probe, beside those for a transaction",
        ),
        ("--key-choice power", "uniform, zipf"),
        ("--key-choice zipf:0", "above 0"),
        (
            "--reads write",
            "write-transaction, read-transaction, watch",
        ),
        (
            "--isolation snapshot",
            "read-committed, repeatable-read, serializable",
        ),
        ("--roles ps-r", "ps-rw-pg-ro"),
        ("--roles ps-ro-pg-ro", "nobody writes"),
        ("--roles ps-ro --fleet native=3", "nobody writes"),
    ] {
        let words: Vec<&str> = ["run"].into_iter().chain(arguments.split(' ')).collect();
        refuses(&words, 64, &[says]);
    }
}

#[test]
fn a_plan_of_another_version_is_refused_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let plan = file.to_str().unwrap();
    fs::write(&file, r#"{"squall_plan":1,"seed":7,"options":{}}"#).unwrap();
    refuses(
        &["run", "--plan", plan],
        65,
        &[plan, "version 1", "version 2"],
    );
    fs::write(&file, r#"{"squall_plan":2,"seed":7}"#).unwrap();
    refuses(&["run", "--plan", plan], 65, &[plan, "options"]);
}

#[test]
fn every_matrix_that_is_shipped_makes_sense() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../matrices");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut matrices = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        matrices += 1;
        let output = squall(&["matrix", path.to_str().unwrap(), "--list"]);
        assert_eq!(output.status.code(), Some(0), "{path:?}: {output:?}");
        let runs = String::from_utf8_lossy(&output.stdout).lines().count();
        let name = path.file_name().unwrap().to_str().unwrap();
        let row = format!("| `{name}` | {runs} |");
        assert!(readme.contains(&row), "README.md does not say: {row}");
    }
    assert!(matrices > 0);
}

#[test]
fn a_service_behind_https_is_refused() {
    let arguments = [
        "run",
        "--database-url",
        "postgres://localhost:1/x",
        "--service-url",
        "https://example.test",
        "--service-key",
        "c2VjcmV0",
    ];
    refuses(&arguments, 64, &["http://HOST:PORT"]);
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let output = tempfile::tempdir().unwrap();
    let arguments = [
        "run",
        "--database-url",
        "postgres://me:secret@127.0.0.1:1/db",
        "--output",
        output.path().to_str().unwrap(),
    ];
    refuses(
        &arguments,
        69,
        &["postgres://me@127.0.0.1:1/db", "--database-url"],
    );
    let shown = squall(&arguments);
    assert!(!String::from_utf8_lossy(&shown.stderr).contains("secret"));
}

/// A storage that is somebody else's stays as it is, and no secret is told.
#[test]
fn a_service_leaves_the_files_of_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let diary = folder.path().join("diary");
    fs::write(&diary, "dear diary").unwrap();
    let output = squall(&[
        "serve",
        "--storage",
        diary.to_str().unwrap(),
        "--database-url=postgres://me:s3cret@127.0.0.1:1/x",
        "--key=c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I",
    ]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{message}");
    assert!(
        message.contains("diary is not a SQLite database"),
        "{message}"
    );
    assert!(
        !message.contains("s3cret") && !message.contains("c2Vjc"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(&diary).unwrap(), "dear diary");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The line that repeats a run is for others to see.
#[test]
fn the_line_that_repeats_a_run_has_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let output = squall(&[
        "run",
        "--output",
        folder.path().to_str().unwrap(),
        "--fleet=native=1",
        "--database-url",
        "postgres://me:s3cret@127.0.0.1:1/x",
        "--service-url=http://127.0.0.1:1",
        "--service-key",
        "c2VjcmV0",
    ]);
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert_eq!(output.status.code(), Some(69), "{told}");
    assert!(told.contains("to repeat this run"), "{told}");
    assert!(
        !told.contains("s3cret") && !told.contains("c2VjcmV0"),
        "{told}"
    );
    // Nor does any file of the run.
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                assert!(
                    !text.contains("s3cret") && !text.contains("c2VjcmV0"),
                    "{path:?}"
                );
            }
        }
    }
}

#[test]
fn a_demo_on_a_port_that_is_taken_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refuses(&["demo", "--port", &port], 69, &[&port]);
}

#[test]
fn malformed_histories_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let output = check("not a history\n", folder.path());
    assert_eq!(output.status.code(), Some(65));

    let output = check(
        &format!("{HEADER}\n{{\"time\":0,\"event\":7}}\n{{}}\n"),
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(65));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("line 2"), "{message}");

    refuses(&["check", "/no/such/run"], 64, &["/no/such/run"]);
}

#[test]
fn a_history_that_is_cut_in_a_line_is_read_up_to_there_and_said_to_be_cut() {
    let folder = tempfile::tempdir().unwrap();
    let history =
        format!("{HEADER}\n{{\"time\":0,\"event\":{{\"phase\":\"start\"}}}}\n{{\"time\":5,\"ev");
    let output = check(&history, folder.path());
    assert_eq!(
        output.status.code(),
        Some(2),
        "a cut history proves nothing"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("cut"), "{text}");
}

/// Runs `check` on a history of another checker; answers with its exit code and what it said.
fn check_foreign(name: &str, history: &str, options: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, history).unwrap();
    let output = squall(&[&["check", file.to_str().unwrap()], options].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn histories_of_other_checkers_are_checked_by_models() {
    let lost = "w(1,1,0,0)\nr(1,0,0,1)\n";
    let (code, said) = check_foreign("lost.txt", lost, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("format plume") && said.contains("initial value"),
        "{said}"
    );
    // What several models find alike is told once.
    assert!(
        said.contains("causal, causal-convergence: VIOLATION"),
        "{said}"
    );
    let (code, said) = check_foreign("lost.txt", lost, &["--model", "read-committed"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = check_foreign("lost.txt", "w(1,1,0,0)\nr(1,", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cut"), "{said}");
    let (code, said) = check_foreign("bad.txt", "w(1,1,0,0)\nr(1,x,0,1)\n", &[]);
    assert_eq!(code, Some(65), "{said}");
    assert!(
        said.contains("line 2, column 5") && said.contains("bad.txt"),
        "{said}"
    );
    let (code, said) = check_foreign("what.txt", "what is this\n", &[]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("--format"), "{said}");
    let (code, said) = check_foreign("lost.txt", lost, &["--model", "casual"]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("causal-per-key"), "{said}");
    let (code, said) = check_foreign("lost.txt", lost, &["--model=causal,read-atomic", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    let judged: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(judged["judgement"], "violation");
    assert_eq!(judged["reports"][1]["model"], "read-atomic");
}

/// Runs `check` with a history on the standard input.
fn check_input(path: &str, history: &[u8]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(["check", path]).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The history may be refused before it is read to its end.
    let _ = stdin.write_all(history);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_history_is_read_once_from_wherever_it_comes() {
    // What is wrong is in the first 4 KiB, and far behind them.
    let lost = "w(1,1,0,0)\nr(1,0,0,1)\n";
    let fine: String = (2..20_000).map(|n| format!("w(1,{n},0,{n})\n")).collect();
    for history in [
        format!("{lost}{fine}"),
        format!("w(2,1,0,0)\n{fine}r(1,5,0,30000)\n"),
    ] {
        for path in ["-", "/dev/stdin"] {
            let (code, said) = check_input(path, history.as_bytes());
            assert_eq!(code, Some(1), "{path}: {said}");
            let (code, said) = check_input(path, &gzip(history.as_bytes()));
            assert_eq!(code, Some(1), "{path}: {said}");
        }
    }
    let (code, said) = check_input("-", &gzip(fine.as_bytes())[..1_000]);
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("compressed"), "{said}");
    for nothing in ["", " \n", "\u{feff}"] {
        let (code, said) = check_input("-", nothing.as_bytes());
        assert_eq!(code, Some(65), "{said}");
    }
    // Squall's own histories, judged by the properties of their workload.
    let config = squall_checker::generate::Config::new(1, 200);
    let mut own = Vec::new();
    squall_checker::write_history(&squall_checker::generate::generate(&config), &mut own).unwrap();
    let (code, expected) = check_input("-", &own);
    for history in [
        own.clone(),
        gzip(&own),
        ["\u{feff}".as_bytes(), &own].concat(),
    ] {
        assert_eq!(
            check_input("/dev/stdin", &history),
            (code, expected.clone())
        );
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("history.jsonl.gz"), gzip(&own)).unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(squall(&["check", path]).status.code(), code);
    let exported = squall(&["export", path, "--format", "plume"]);
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
    assert!(exported.stdout.starts_with(b"r(") || exported.stdout.starts_with(b"w("));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_was_not_understood_or_not_tested_is_said() {
    let mutex = "{:process 0, :type :invoke, :f :acquire, :value nil}\n{:process 0, :type :ok, :f :acquire, :value nil}\n";
    let (code, said) = check_foreign("mutex.edn", mutex, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("left out: 1 operations") && said.contains("line 2, column 1"),
        "{said}"
    );
    let (code, said) = check_foreign("mutex.edn", mutex, &["--json"]);
    assert_eq!(code, Some(2), "{said}");
    let judged: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(judged["skipped"][0]["count"], 1);
    assert_eq!(judged["skipped"][0]["first"], "line 2, column 1");
    // A guarantee that was not put to the test is none of those that count, unless it is named.
    let fine = "{:type :ok, :process :a, :value [[:w :x 1]]}\n{:type :ok, :process :b, :value [[:r :x 1]]}\n";
    let (code, said) = check_foreign("fine.edn", fine, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("unknown: read-your-writes: not put to the test"),
        "{said}"
    );
    let (code, said) = check_foreign("fine.edn", fine, &["--model", "read-your-writes"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = check_foreign("writes.txt", "w(1,1,0,0)\n", &[]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = check_foreign("utf16.txt", "\u{0}", &[]);
    assert_eq!(code, Some(65), "{said}");
    let folder = tempfile::tempdir().unwrap();
    refuses(
        &["check", folder.path().to_str().unwrap()],
        64,
        &["no history in the folder"],
    );
}

#[test]
fn a_folder_of_cobras_logs_is_a_history() {
    let folder = tempfile::tempdir().unwrap();
    let record = |kind: u8, numbers: &[u64]| {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        std::iter::once(kind).chain(numbers).collect::<Vec<u8>>()
    };
    let session = |number: u64, operation: Vec<u8>| {
        [record(b'S', &[number]), operation, record(b'C', &[number])].concat()
    };
    let write = session(1, record(b'W', &[10, 7, 99]));
    fs::write(folder.path().join("T1.log"), write).unwrap();
    fs::write(
        folder.path().join("T2.log"),
        session(2, record(b'R', &[1, 10, 7, 99])),
    )
    .unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(squall(&["check", path]).status.code(), Some(0));
    fs::write(
        folder.path().join("T2.log"),
        session(2, record(b'R', &[1, 11, 7, 99])),
    )
    .unwrap();
    assert_eq!(squall(&["check", path]).status.code(), Some(1));
    fs::write(folder.path().join("T2.log"), [b'S', 0]).unwrap();
    refuses(&["check", path], 65, &["T2.log", "byte 1"]);
    // By any name, and beside other files.
    fs::rename(folder.path().join("T1.log"), folder.path().join("client-1")).unwrap();
    let thin_air = session(2, record(b'R', &[1, 11, 7, 99]));
    fs::write(folder.path().join("T2.log"), thin_air).unwrap();
    fs::write(folder.path().join("README"), "Some logs").unwrap();
    assert_eq!(squall(&["check", path]).status.code(), Some(1));
}

#[test]
fn a_run_is_exported_and_judged_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let history = squall_checker::generate::generate(&squall_checker::generate::Config {
        percent_info: 20,
        ..squall_checker::generate::Config::new(1, 200)
    });
    let own = folder.path().join("history.jsonl");
    squall_checker::write_history(&history, fs::File::create(&own).unwrap()).unwrap();
    let own = own.to_str().unwrap();
    let per_key = ["--model", "causal-per-key"];
    let run = |arguments: &[&str], options: &[&str]| squall(&[arguments, options].concat());
    assert_eq!(run(&["check", own], &per_key).status.code(), Some(0));
    for format in ["plume", "dbcop-json", "elle-edn", "jepsen-json"] {
        let exported = folder.path().join(format);
        let exported = exported.to_str().unwrap();
        let output = squall(&["export", own, "--format", format, "-o", exported]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("faults"), "{said}");
        assert_eq!(
            said.contains("unknown outcome"),
            !format.contains('-') || format == "dbcop-json",
            "{said}"
        );
        let checked = run(&["check", exported], &per_key);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    }
    refuses(&["export", own, "--format", "xml"], 64, &["elle-edn"]);
}
