//! The lab's mail catcher, maildev: idm hands it every mail, and its page shows them to everybody who reaches the lab.
//! On a cluster of your own there is a mail server instead, and nothing of this.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{
    access::Access,
    catalogue::{self, ImageSource},
    install::NAMESPACE,
};
use crate::templates::render;

/// The image's name and tag: maildev's version.
pub const IMAGE: &str = "maildev:2.2.1";
/// The first part of the page's hostname.
pub const HOST: &str = "mail";
/// The Secret that says to idm where mails go.
const SECRET: &str = "idm-smtp";
/// What the image is made of.
const CONTEXT: [(&str, &str); 3] = [
    (
        "Dockerfile",
        include_str!("../../images/maildev/Dockerfile"),
    ),
    (
        "package.json",
        include_str!("../../images/maildev/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../images/maildev/package-lock.json"),
    ),
];
/// Whom this machine trusts; the build, which asks for packages by HTTPS, trusts the same and leaves it behind.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Its image, with a context of its own.
///
/// # Errors
/// When that cannot be written.
pub fn image(repository: &Path) -> Result<ImageSource> {
    let folder = catalogue::target_folder(repository).join("image/maildev");
    fs::create_dir_all(&folder)?;
    for (file, content) in CONTEXT {
        fs::write(folder.join(file), content)?;
    }
    let authorities = fs::read(AUTHORITIES)
        .with_context(|| format!("{AUTHORITIES} is missing; it is Debian's ca-certificates"))?;
    fs::write(folder.join("authorities.crt"), authorities)?;
    Ok(ImageSource {
        name: IMAGE.to_owned(),
        folder,
        arguments: Vec::new(),
    })
}

/// Its objects; `image` is its image as nodes pull it.
///
/// # Errors
/// When a place of the manifest has no value.
pub fn objects(access: &Access, image: &str) -> Result<String> {
    render(
        include_str!("../../manifests/maildev.yaml"),
        &[
            ("NAMESPACE", NAMESPACE),
            ("SECRET", SECRET),
            ("IMAGE", image),
            ("HOSTNAME", &format!("{HOST}.{}", access.zone)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::network;

    #[test]
    fn the_charts_values_for_the_lab_lead_mails_there_and_nowhere_else() {
        let values = include_str!("../../../../charts/tutti/ci/lab-values.yaml");
        let values: Value = serde_saphyr::from_str(values).unwrap();
        assert_eq!(values["idm"]["mail"]["smtpSecret"], SECRET);
        let smtp = &values["networkPolicy"]["smtp"];
        assert_eq!(smtp["cidrs"], serde_json::json!([network::POD_RANGE]));
        assert_eq!(smtp["ports"], serde_json::json!([1025]));
    }

    #[test]
    fn the_images_tag_is_the_version_that_is_installed() {
        let package: Value = serde_json::from_str(CONTEXT[1].1).unwrap();
        let lock: Value = serde_json::from_str(CONTEXT[2].1).unwrap();
        let wanted = package["dependencies"]["maildev"].as_str().unwrap();
        assert_eq!(IMAGE, format!("maildev:{wanted}"));
        assert_eq!(
            lock["packages"]["node_modules/maildev"]["version"],
            package["dependencies"]["maildev"]
        );
    }

    #[test]
    fn where_packages_were_found_when_they_were_locked_is_not_written_down() {
        assert!(!CONTEXT[2].1.contains("\"resolved\""));
    }
}
