//! Reads what the lab has to know of a Dockerfile and its folder: the base images that must exist,
//! and the files that belong to the context.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::cache::hex;

/// The images that a Dockerfile builds on: what its FROM lines name, without its own stages. ARG
/// lines before the first FROM may name them; `arguments` wins over their defaults.
pub fn base_images(dockerfile: &str, arguments: &[(String, String)]) -> Vec<String> {
    let mut stages: Vec<String> = Vec::new();
    let mut images = Vec::new();
    let mut values: Vec<(String, String)> = Vec::new();
    for line in dockerfile.lines() {
        let mut words = line
            .split_whitespace()
            .filter(|word| !word.starts_with("--"));
        let instruction = words.next().unwrap_or_default().to_ascii_lowercase();
        if instruction == "arg" && images.is_empty() {
            let (name, default) = words
                .next()
                .unwrap_or_default()
                .split_once('=')
                .unwrap_or_default();
            let given = arguments.iter().find(|(given, _)| given == name);
            let value = given.map_or(default, |(_, value)| value.as_str());
            values.push((name.to_owned(), value.to_owned()));
        }
        if instruction != "from" {
            continue;
        }
        let Some(image) = words.next() else { continue };
        let image = values
            .iter()
            .fold(image.to_owned(), |image, (name, value)| {
                image
                    .replace(&format!("${{{name}}}"), value)
                    .replace(&format!("${name}"), value)
            });
        let image = image.as_str();
        if image != "scratch" && !stages.iter().any(|stage| stage == image) {
            images.push(image.to_owned());
        }
        if words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("as"))
            && let Some(stage) = words.next()
        {
            stages.push(stage.to_owned());
        }
    }
    images
}

/// The files of a context: relative paths in a fixed order, without those that `.dockerignore`
/// excludes.
pub fn context_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let ignore = fs::read_to_string(folder.join(".dockerignore")).unwrap_or_default();
    let rules = parse_rules(&ignore);
    let mut files = Vec::new();
    collect(folder, Path::new(""), &rules, &mut files)?;
    files.sort();
    Ok(files)
}

struct Rule {
    segments: Vec<String>,
    keeps: bool,
}

fn parse_rules(text: &str) -> Vec<Rule> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (keeps, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let segments = pattern
                .split('/')
                .filter(|segment| !segment.is_empty() && *segment != ".")
                .map(str::to_owned)
                .collect();
            Rule { segments, keeps }
        })
        .collect()
}

/// The last rule that matches a path, or a folder above it, decides.
fn is_ignored(path: &Path, rules: &[Rule]) -> bool {
    let segments: Vec<&str> = path.iter().filter_map(|segment| segment.to_str()).collect();
    rules
        .iter()
        .rev()
        .find(|rule| (1..=segments.len()).any(|end| matches(&rule.segments, &segments[..end])))
        .is_some_and(|rule| !rule.keeps)
}

fn matches(pattern: &[String], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=path.len()).any(|skipped| matches(rest, &path[skipped..]))
        }
        Some((first, rest)) => path
            .split_first()
            .is_some_and(|(head, tail)| segment_matches(first, head) && matches(rest, tail)),
    }
}

/// `*` stands for any characters of one segment.
fn segment_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len())
                .filter(|end| name.is_char_boundary(*end))
                .any(|end| segment_matches(rest, &name[end..]))
        }),
    }
}

fn collect(root: &Path, below: &Path, rules: &[Rule], files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // A rule may keep a file of an ignored folder: look inside all the same.
            collect(root, &path, rules, files)?;
        } else if !is_ignored(&path, rules) {
            files.push(path);
        }
    }
    Ok(())
}

/// The context as a tar: the same files give the same bytes, whoever owns them and whenever they
/// were written, so that the builder's own cache holds too.
pub fn context_tar(folder: &Path, output: impl Write) -> Result<()> {
    let mut archive = tar::Builder::new(output);
    // A linker leaves holes in binaries, and dockerd refuses the entries that tar has for them.
    archive.sparse(false);
    archive.mode(tar::HeaderMode::Deterministic);
    archive.follow_symlinks(false);
    for path in context_files(folder)? {
        archive
            .append_path_with_name(folder.join(&path), &path)
            .with_context(|| format!("cannot pack {}", path.display()))?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

/// A hash of everything that decides what a build makes: files with their execute bits, and the
/// arguments.
pub fn context_hash(folder: &Path, arguments: &[(String, String)], base: &str) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(base);
    for (name, value) in arguments {
        hash.update(format!("\0{name}={value}"));
    }
    for path in context_files(folder)? {
        let place = folder.join(&path);
        let found = fs::symlink_metadata(&place)?;
        let content = if found.is_symlink() {
            fs::read_link(&place)?.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&place)?
        };
        let executable = found.permissions().mode() & 0o111 != 0;
        hash.update(format!(
            "\0{}\0{executable}\0{}\0",
            path.display(),
            content.len()
        ));
        hash.update(&content);
    }
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_image_may_be_named_by_an_argument() {
        let text = "ARG RELEASE=trixie\nFROM debian:${RELEASE}-slim\n";
        assert_eq!(base_images(text, &[]), ["debian:trixie-slim"]);
        let given = [("RELEASE".to_owned(), "bookworm".to_owned())];
        assert_eq!(base_images(text, &given), ["debian:bookworm-slim"]);
    }

    #[test]
    fn bases_are_what_from_names_without_own_stages() {
        let text = "FROM --platform=linux/amd64 debian:trixie-slim AS build\nRUN x\n\
                    from build as next\nFROM scratch\nFROM localhost:5000/tutti/php:8\n";
        assert_eq!(
            base_images(text, &[]),
            ["debian:trixie-slim", "localhost:5000/tutti/php:8"]
        );
    }

    #[test]
    fn the_last_matching_rule_of_dockerignore_decides() {
        let rules = parse_rules("# x\ntarget\n**/*.log\n!keep.log\n/docs/*.md\n");
        let ignored = |path: &str| is_ignored(Path::new(path), &rules);
        assert!(ignored("target/debug/x"));
        assert!(ignored("a/b/c.log"));
        assert!(!ignored("keep.log"));
        assert!(ignored("docs/a.md"));
        assert!(!ignored("docs/deep/a.md"));
        assert!(!ignored("src/target.rs"));
    }

    #[test]
    fn the_hash_changes_with_content_arguments_and_execute_bits() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Dockerfile");
        fs::write(&file, "FROM scratch").unwrap();
        let hash =
            |arguments: &[(String, String)]| context_hash(folder.path(), arguments, "").unwrap();
        let first = hash(&[]);
        assert_eq!(first, hash(&[]));
        assert_ne!(first, hash(&[("A".to_owned(), "1".to_owned())]));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(first, hash(&[]));
    }

    #[test]
    fn the_tar_is_the_same_for_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        let pack = || {
            let mut bytes = Vec::new();
            context_tar(folder.path(), &mut bytes).unwrap();
            bytes
        };
        let first = pack();
        fs::write(folder.path().join("a"), "1").unwrap();
        assert_eq!(first, pack());
    }
}
