//! The cache: what takes minutes to build and is the same for every lab of this machine. An entry
//! is a folder whose name says its content (`name@version`, or a hash of all that it is made of),
//! so nothing in it is ever out of date; `lab down` keeps it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Old images stay in the registry until it is larger than this, in bytes; one set takes 600 MB.
const LARGEST_REGISTRY: u64 = 8 << 30;

/// The cache folder.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `TUTTI_CACHE`, else `tutti` in the person's cache folder.
    pub fn from_environment() -> Self {
        let root = env::var_os("TUTTI_CACHE")
            .map(PathBuf::from)
            .or_else(|| env::var_os("XDG_CACHE_HOME").map(|home| PathBuf::from(home).join("tutti")))
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tutti")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/tutti"));
        Self { root }
    }

    /// A cache at a given place.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the lab's registry stores. Images are known by their content there, so that the next
    /// lab builds only what is new.
    pub fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// Empties the registry when it has grown too large; only while none runs.
    pub fn limit_registry(&self) -> Result<()> {
        let folder = self.registry();
        if size(&folder) <= LARGEST_REGISTRY {
            return Ok(());
        }
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))
    }

    /// The folder of an entry, whether or not it is there.
    pub fn entry(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder of an entry; `make` fills a new one when the cache does not hold it. An entry
    /// appears whole or not at all.
    pub fn get(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let place = self.entry(name);
        if place.exists() {
            return Ok(place);
        }
        let growing = self.root.join("growing").join(name);
        fs::create_dir_all(self.root.join("growing"))
            .with_context(|| format!("cannot write to the cache {}", self.root.display()))?;
        // Labs of one person share the cache: of two that want the same, one makes it.
        let lock = fs::File::create(growing.with_added_extension("lock"))?;
        lock.lock()?;
        if place.exists() {
            return Ok(place);
        }
        if growing.exists() {
            fs::remove_dir_all(&growing)?;
        }
        fs::create_dir_all(&growing)
            .with_context(|| format!("cannot make {}", growing.display()))?;
        make(&growing)?;
        fs::rename(&growing, &place).with_context(|| format!("cannot make {}", place.display()))?;
        Ok(place)
    }
}

/// Bytes of all files below a folder; what cannot be read counts nothing.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A key for things made of several parts: any change of any part changes it.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length first, so that moving bytes from one part to the next is a change too.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())[..16].to_owned()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_every_part_and_its_borders() {
        let first = key([b"ab".as_slice(), b"c"]);
        assert_eq!(first, key([b"ab".as_slice(), b"c"]));
        assert_ne!(first, key([b"a".as_slice(), b"bc"]));
        assert_ne!(first, key([b"ab".as_slice()]));
        assert_eq!(first.len(), 16);
    }

    #[test]
    fn an_entry_is_made_once_and_never_half() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        assert!(cache.get("x@1", |_| anyhow::bail!("no network")).is_err());
        assert!(!cache.entry("x@1").exists());
        let place = cache
            .get("x@1", |place| Ok(fs::write(place.join("f"), "1")?))
            .unwrap();
        assert_eq!(fs::read_to_string(place.join("f")).unwrap(), "1");
        cache.get("x@1", |_| panic!("made twice")).unwrap();
    }
}
