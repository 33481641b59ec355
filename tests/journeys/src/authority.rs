//! What the lab's certificate authorities say themselves of what they made.

use anyhow::{Context, Result};
use crds::domain::Certificate;
use lab::{Lab, internet::AUTHORITIES};

/// What the authority that issued a certificate says became of it: `Valid`, or `Revoked` with the number
/// of the reason (RFC 5280 §5.3.1).
pub async fn authority_says_of(
    lab: &Lab,
    certificate: &Certificate,
) -> Result<(String, Option<u64>)> {
    let mut authorities = AUTHORITIES.iter();
    let authority = authorities.find(|it| certificate.authority.as_deref() == Some(it.name));
    let authority = authority.with_context(|| format!("none of the lab's: {certificate:?}"))?;
    let own = std::fs::read(lab.trust.with_file_name("ca.crt"))?;
    let client = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&own)?)
        .build()?;
    let serial = &certificate.serial;
    authority.says_of(&client, lab.node_address, serial).await
}
