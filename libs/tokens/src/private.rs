//! One private key, parsed once: signs, and is kept as PKCS #8 in PEM.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use pem::Pem;
use secrecy::SecretString;

use crate::{Algorithm, PublicKey};

const TAG: &str = "PRIVATE KEY";

/// A private key and its public part.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Elliptic(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Why there is no key. The texts hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("it is not PEM with one block PRIVATE KEY (PKCS #8, not encrypted)")]
    NotPem,
    #[error("it is neither a whole key on P-256 nor a whole RSA key of 2048 bits or more")]
    Broken,
    /// Only when the machine has no random numbers or no memory.
    #[error("aws-lc did not do it")]
    Refused,
}

impl PrivateKey {
    /// Makes one. RSA keys have 2048 bits, the least that RFC 7518 §3.3 allows and what clients expect.
    ///
    /// # Errors
    /// [`BadKey::Refused`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, BadKey> {
        let pair = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Elliptic)
            }
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
        };
        pair.map_or(Err(BadKey::Refused), Self::of)
    }

    /// Reads what [`PrivateKey::to_pem`] or `openssl genpkey` wrote.
    ///
    /// # Errors
    /// Also when the public part that PKCS #8 may hold does not fit.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let pem = Pem::from_str(text).map_err(|_| BadKey::NotPem)?;
        if pem.tag() != TAG {
            return Err(BadKey::NotPem);
        }
        let elliptic = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pem.contents())
            .map(Pair::Elliptic);
        elliptic
            .or_else(|_| RsaKeyPair::from_pkcs8(pem.contents()).map(Pair::Rsa))
            .map_or(Err(BadKey::Broken), Self::of)
    }

    /// # Errors
    /// [`BadKey::Refused`].
    pub fn to_pem(&self) -> Result<SecretString, BadKey> {
        let der = match &self.pair {
            Pair::Elliptic(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Pair::Rsa(pair) => pair.as_der().map(|der| der.as_ref().to_vec()),
        };
        let der = der.map_err(|_| BadKey::Refused)?;
        Ok(pem::encode(&Pem::new(TAG, der)).into())
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    fn of(pair: Pair) -> Result<Self, BadKey> {
        let public = match &pair {
            Pair::Elliptic(pair) => PublicKey::of_point(pair.public_key().as_ref()),
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                PublicKey::of_modulus(&parts.n, &parts.e)
            }
        };
        public
            .map(|public| Self { pair, public })
            .ok_or(BadKey::Broken)
    }

    /// The signature in the form of RFC 7518 §3.3 and §3.4.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BadKey> {
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Elliptic(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        };
        signature.map_err(|_| BadKey::Refused)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.public.algorithm();
        write!(to, "PrivateKey({algorithm}, {})", self.public.thumbprint())
    }
}
