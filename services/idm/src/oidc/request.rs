//! What an application asks of `/oauth2/authorize` (Core §3.1.2.1), as OAuth 2.1 allows it. Pure.

use super::{parameters::Parameters, pkce, refusal::Refusal};

/// Bytes of a nonce: it is kept, and stands in each ID token.
const LONGEST_NONCE: usize = 255;
/// Bytes of a state: it goes back in an address.
const LONGEST_STATE: usize = 2_000;
/// What can be asked for beside `openid`; what nobody knows is left out (Core §3.1.2.1).
pub const SCOPES: [&str; 3] = ["openid", "profile", "email"];

/// Whether somebody is to be asked to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prompt {
    /// When they are not.
    #[default]
    Needed,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// A request that is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of [`SCOPES`], with a space in between.
    pub scope: String,
    pub nonce: Option<String>,
    /// By S256.
    pub challenge: String,
    pub prompt: Prompt,
    /// Seconds that the sign-in may be old.
    pub max_age: Option<u32>,
}

impl Request {
    /// Reads one; who asks and where the answer goes was looked at before.
    ///
    /// # Errors
    /// What is wrong with it first.
    pub fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let wrong = |words| Err(Refusal::new("invalid_request", words));
        if parameters.has_twice() {
            return wrong("A parameter comes twice.");
        }
        let get = |name| parameters.get(name);
        if get("state").is_some_and(|state| state.len() > LONGEST_STATE) {
            return wrong("state is longer than 2000 bytes.");
        }
        for (name, refusal) in NOT_SUPPORTED {
            if get(name).is_some() {
                return Err(refusal);
            }
        }
        match get("response_type") {
            Some("code") => {}
            None => return wrong("response_type is missing; it is: code."),
            Some(_) => {
                let words = "response_type is not code; there is no other.";
                return Err(Refusal::new("unsupported_response_type", words));
            }
        }
        if get("response_mode").is_some_and(|mode| mode != "query") {
            return wrong("response_mode is not query; there is no other.");
        }
        let nonce = get("nonce").map(str::to_owned);
        if nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() > LONGEST_NONCE)
        {
            return wrong("nonce is longer than 255 bytes.");
        }
        let max_age = get("max_age").map(str::parse::<u32>);
        let Ok(max_age) = max_age.transpose() else {
            return wrong("max_age is not a number of seconds.");
        };
        Ok(Self {
            scope: scope(get("scope").unwrap_or_default())?,
            nonce,
            challenge: challenge(parameters)?,
            prompt: prompt(get("prompt").unwrap_or_default())?,
            max_age,
        })
    }
}

const NOT_SUPPORTED: [(&str, Refusal); 3] = [
    (
        "request",
        Refusal::new("request_not_supported", "There are no request objects."),
    ),
    (
        "request_uri",
        Refusal::new("request_uri_not_supported", "There are no request objects."),
    ),
    (
        "registration",
        Refusal::new(
            "registration_not_supported",
            "Clients are registered by SsoClients.",
        ),
    ),
];

fn scope(asked: &str) -> Result<String, Refusal> {
    let asked: Vec<&str> = asked.split(' ').collect();
    let known: Vec<&str> = SCOPES
        .into_iter()
        .filter(|scope| asked.contains(scope))
        .collect();
    if known.first() != Some(&"openid") {
        return Err(Refusal::new("invalid_scope", "scope does not hold openid."));
    }
    Ok(known.join(" "))
}

fn challenge(parameters: &Parameters) -> Result<String, Refusal> {
    let wrong = |words| Err(Refusal::new("invalid_request", words));
    let Some(challenge) = parameters.get("code_challenge") else {
        return wrong("code_challenge is missing: PKCE (RFC 7636) is needed.");
    };
    // Left out it would be `plain` (§4.3).
    if parameters.get("code_challenge_method") != Some("S256") {
        return wrong("code_challenge_method is not S256; there is no other.");
    }
    if !pkce::is_challenge(challenge) {
        return wrong("code_challenge is not a SHA-256 in base64url without padding.");
    }
    Ok(challenge.to_owned())
}

fn prompt(asked: &str) -> Result<Prompt, Refusal> {
    let wrong = |words| Err(Refusal::new("invalid_request", words));
    let asked: Vec<&str> = asked.split(' ').filter(|word| !word.is_empty()).collect();
    let mut prompt = Prompt::Needed;
    for word in &asked {
        match *word {
            "none" if asked.len() > 1 => return wrong("prompt is none and something else."),
            "none" => prompt = Prompt::Never,
            "login" | "select_account" => prompt = Prompt::Always,
            // Nobody is asked: the organization has registered the application.
            "consent" => {}
            _ => return wrong("prompt is not none, login, consent or select_account."),
        }
    }
    Ok(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "response_type=code&scope=openid+email+phone&state=s&nonce=n&\
        code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

    fn read(query: &str) -> Result<Request, Refusal> {
        Request::read(&Parameters::read(query.as_bytes()).unwrap())
    }

    #[test]
    fn a_request_is_read() {
        let expected = Request {
            scope: "openid email".to_owned(),
            nonce: Some("n".to_owned()),
            challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(),
            prompt: Prompt::Needed,
            max_age: None,
        };
        assert_eq!(read(WELL), Ok(expected));
        let asked = |more: &str| read(&format!("{WELL}&{more}")).unwrap();
        assert_eq!(asked("prompt=none").prompt, Prompt::Never);
        assert_eq!(asked("prompt=login+consent").prompt, Prompt::Always);
        assert_eq!(asked("max_age=0").max_age, Some(0));
    }

    #[test]
    fn what_oauth_2_1_does_not_allow_is_refused_and_named() {
        let long = "x".repeat(2_001);
        for (from, to, error) in [
            (
                "response_type=code",
                "response_type=token",
                "unsupported_response_type",
            ),
            (
                "response_type=code",
                "response_type=code+id_token",
                "unsupported_response_type",
            ),
            ("response_type=code", "a=b", "invalid_request"),
            ("scope=openid+email", "scope=email", "invalid_scope"),
            ("scope=openid+email+phone", "a=b", "invalid_scope"),
            (
                "code_challenge_method=S256",
                "code_challenge_method=plain",
                "invalid_request",
            ),
            ("&code_challenge_method=S256", "", "invalid_request"),
            ("code_challenge=E9", "code_challenge=", "invalid_request"),
            ("code_challenge=", "challenge=", "invalid_request"),
            ("state=s", "state=s&state=s", "invalid_request"),
            ("state=s", &format!("state={long}"), "invalid_request"),
            ("nonce=n", &format!("nonce={long}"), "invalid_request"),
            ("nonce=n", "max_age=-1", "invalid_request"),
            ("nonce=n", "max_age=soon", "invalid_request"),
            ("nonce=n", "prompt=none+login", "invalid_request"),
            ("nonce=n", "prompt=create", "invalid_request"),
            ("nonce=n", "response_mode=fragment", "invalid_request"),
            ("nonce=n", "response_mode=form_post", "invalid_request"),
            ("nonce=n", "request=e.y.J", "request_not_supported"),
            (
                "nonce=n",
                "request_uri=https://a",
                "request_uri_not_supported",
            ),
            (
                "nonce=n",
                "registration=%7B%7D",
                "registration_not_supported",
            ),
        ] {
            assert!(WELL.contains(from), "{from}");
            let refusal = read(&WELL.replacen(from, to, 1)).unwrap_err();
            assert_eq!(refusal.error, error, "{from} -> {to}");
        }
    }
}
