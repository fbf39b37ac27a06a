//! Temporary folders that are swept up when their owner was killed before it could remove them.
//!
//! The owner holds a lock on a file in the folder for as long as it lives; the kernel lets go of it
//! when the owner dies, however it dies. Whoever makes a folder removes those of dead owners first.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind::NotFound};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const LOCK: &str = "owner.lock";
/// How long what has just been killed may go on writing into a folder that is removed.
const REMOVAL: Duration = Duration::from_secs(1);
/// A folder is made before its lock is there; one that is younger than this is left alone.
const GRACE: Duration = Duration::from_secs(60);

/// A temporary folder that is ours as long as this lives, and removed with it.
#[derive(Debug)]
pub struct Temporary {
    // Before `_lock`: nobody else may sweep the folder while it is being removed.
    folder: tempfile::TempDir,
    _lock: File,
}

impl Temporary {
    /// Makes a folder in `parent` whose name begins with `prefix`, after removing those of dead owners
    /// with the same beginning.
    ///
    /// # Errors
    ///
    /// What the operating system said.
    pub fn make(parent: &Path, prefix: &str) -> io::Result<Temporary> {
        sweep(parent, prefix);
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        // Locked before it has its name: whoever finds it unlocked knows that the owner is dead.
        let unnamed = folder.path().join("owner.lock.new");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(&unnamed, folder.path().join(LOCK))?;
        Ok(Temporary {
            folder,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let began = Instant::now();
        while fs::remove_dir_all(self.path()).is_err_and(|error| error.kind() != NotFound)
            && began.elapsed() < REMOVAL
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Removes what it can; a folder that is someone else's stays.
fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let folder = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(prefix);
        if ours && is_abandoned(&folder) {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => fs::metadata(folder)
            .and_then(|folder| folder.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > GRACE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "squall-test-";

    #[test]
    fn folders_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Temporary::make(parent.path(), PREFIX).unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let being_made = parent.path().join(format!("{PREFIX}new"));
        fs::create_dir(&being_made).unwrap();
        let foreign = parent.path().join("other");
        fs::create_dir(&foreign).unwrap();

        let another = Temporary::make(parent.path(), PREFIX).unwrap();
        assert!(!dead.exists());
        assert!(living.path().exists());
        assert!(being_made.exists());
        assert!(foreign.exists());

        let path = another.path().to_owned();
        drop(another);
        assert!(!path.exists());
    }
}
