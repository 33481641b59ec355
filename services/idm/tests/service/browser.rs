//! Browsers: what somebody sees of idm.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use reqwest::{Method, header};

/// Keeps cookies, and the token of the form that it was shown last. Follows no redirect by itself.
pub struct Browser {
    client: reqwest::Client,
    at: SocketAddr,
    pub address: String,
    pub language: String,
    cookies: Mutex<BTreeMap<String, String>>,
    form_token: Mutex<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn cookies(&self) -> Vec<&str> {
        let all = self.headers.get_all("set-cookie").iter();
        all.map(|value| value.to_str().unwrap()).collect()
    }

    /// What stands between two marks of the page.
    pub fn between(&self, before: &str, after: &str) -> &str {
        let rest = self
            .body
            .split_once(before)
            .unwrap_or_else(|| panic!("no {before:?} in {}", self.body));
        rest.1.split_once(after).unwrap().0
    }
}

impl Browser {
    pub fn new(at: SocketAddr, address: &str) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            at,
            address: address.to_owned(),
            language: "en".to_owned(),
            cookies: Mutex::default(),
            form_token: Mutex::default(),
        }
    }

    /// The same browser, that asks another replica.
    pub fn turn_to(&mut self, replica: SocketAddr) {
        self.at = replica;
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        lock(&self.cookies).get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        lock(&self.cookies).insert(name.to_owned(), value.to_owned());
    }

    pub fn forget(&self, name: &str) {
        lock(&self.cookies).remove(name);
    }

    pub fn form_token(&self) -> String {
        lock(&self.form_token).clone()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Sends the form that the browser was shown last.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token();
        let mut all = vec![("form_token", token.as_str())];
        all.extend(fields);
        let body = serde_urlencoded::to_string(all).unwrap();
        self.send(
            Method::POST,
            path,
            Some(body),
            &[("sec-fetch-site", "same-origin")],
        )
        .await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        form: Option<String>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let cookies: Vec<String> = lock(&self.cookies)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.at))
            .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header(header::ACCEPT_LANGUAGE, &self.language)
            .header(
                header::USER_AGENT,
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0",
            )
            .header("x-forwarded-for", &self.address);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(form) = form {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form);
        }
        let mut request = request.build().unwrap();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = self.client.execute(request).await.unwrap();
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        };
        self.keep(&answer);
        answer
    }

    fn keep(&self, answer: &Answer) {
        for cookie in answer.cookies() {
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() {
                self.forget(name);
            } else {
                self.set_cookie(name, value);
            }
        }
        if let Some((_, rest)) = answer.body.split_once(r#"name="form_token" value=""#) {
            let token = rest.split('"').next().unwrap_or_default();
            *lock(&self.form_token) = token.to_owned();
        }
    }

    /// Opens the page and sends the form.
    pub async fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.get("/sign-in").await;
        self.post(
            "/sign-in",
            &[("email", email), ("password", password), ("next", "/")],
        )
        .await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
