//! Asking the DNS: resolvers that the configuration names, and the servers that are authoritative
//! for a hostname, directly. What the answers mean is decided in `plan::domain::verify`.
//!
//! Each question goes by UDP, again by TCP when the answer did not fit, and is given up in time.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use hickory_net::{
    DnsHandle, NetError, runtime::TokioRuntimeProvider, tcp::TcpClientStream, udp::UdpClientStream,
};
use hickory_proto::{
    op::{DnsRequest, DnsRequestOptions, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use plan::domain::{
    answers::{self, Answer, Data, Failure, Look, Record, View},
    chain, name, proof_name,
};

/// Authoritative servers that are asked: no zone needs more to be judged.
const MOST_AUTHORITIES: usize = 4;
/// Names above a hostname that are asked for at once in search of CAA and NS records: one of a hundred
/// labels does not take a hundred times as long as its servers like to make it.
const CLIMBED_AT_ONCE: usize = 8;

/// How the DNS is asked.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Resolvers, all of which are asked.
    pub resolvers: Arc<[SocketAddr]>,
    /// The port of authoritative servers: 53 everywhere but in tests.
    pub authority_port: u16,
    /// How long a question may take, tries included.
    pub patience: Duration,
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The hostname, `*.` included.
    pub hostname: &'a str,
    /// The name that is looked up for it.
    pub asked: &'a str,
    /// The instance's own name under the platform's zone.
    pub target: &'a str,
}

impl Dns {
    /// Everything that there is to see of a hostname.
    pub async fn look(&self, wish: Wish<'_>) -> Look {
        let proof = proof_name(wish.hostname);
        let resolvers = self
            .resolvers
            .iter()
            .map(|server| self.view(server.ip().to_string(), *server, wish.asked, &proof, true));
        let authorities = async {
            let (zone, servers) = self.authorities(wish.asked).await;
            let zone = zone.map(str::to_owned);
            match servers {
                Ok(servers) => {
                    let views = servers.iter().map(|(server, address)| {
                        self.view(server.clone(), *address, wish.asked, &proof, false)
                    });
                    (zone, join_all(views).await, None)
                }
                Err(failure) => (zone, Vec::new(), Some(failure)),
            }
        };
        let (resolvers, (zone, authorities, no_authority), gateway, caa) = futures_util::join!(
            join_all(resolvers),
            authorities,
            self.addresses(wish.target),
            self.caa(wish.hostname),
        );
        Look {
            authorities,
            zone,
            no_authority,
            resolvers,
            gateway,
            caa,
            delegation: Vec::new(),
        }
    }

    /// What each resolver says of the name whose CNAME delegates a challenge.
    pub async fn delegation(&self, name: Option<&str>) -> Vec<(String, Answer)> {
        match name {
            Some(name) if name.len() <= name::LONGEST => self.aliases(name).await,
            _ => Vec::new(),
        }
    }

    /// What each resolver says of a name's CNAME.
    async fn aliases(&self, name: &str) -> Vec<(String, Answer)> {
        let asked = self.resolvers.iter().map(|server| async move {
            let answer = self.answer(*server, name, RecordType::CNAME, true).await;
            (server.ip().to_string(), answer)
        });
        join_all(asked).await
    }

    /// Whether every server of the zone that a name lies in shows a TXT record.
    ///
    /// # Errors
    /// The first that does not, in words.
    pub async fn all_show(&self, name: &str, value: &str) -> Result<(), String> {
        let (_, servers) = self.authorities(name).await;
        let servers =
            servers.map_err(|failure| format!("no server of {name} is found: {failure}"))?;
        for (server, address) in servers {
            let answer = self.answer(address, name, RecordType::TXT, false).await;
            let shows = answer
                .records()
                .iter()
                .any(|record| matches!(&record.data, Data::Txt(text) if text == value));
            if !shows {
                return Err(format!("{server} does not show it yet"));
            }
        }
        Ok(())
    }

    async fn view(
        &self,
        server: String,
        address: SocketAddr,
        asked: &str,
        proof: &str,
        recursive: bool,
    ) -> View {
        let proven = async {
            if proof.len() > name::LONGEST {
                return Answer::NoSuchName(Vec::new());
            }
            self.answer(address, proof, RecordType::TXT, recursive)
                .await
        };
        let (ipv4, ipv6, proof) = futures_util::join!(
            self.answer(address, asked, RecordType::A, recursive),
            self.answer(address, asked, RecordType::AAAA, recursive),
            proven,
        );
        View {
            server,
            ipv4,
            ipv6,
            proof,
        }
    }

    /// The addresses of a name, from the first resolver that knows it.
    pub async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let records = self.address_records(host).await;
        records.iter().filter_map(Record::address).collect()
    }

    /// The records of these addresses: a CNAME may lead to them.
    pub async fn address_records(&self, host: &str) -> Vec<Record> {
        for resolver in self.resolvers.iter() {
            let (ipv4, ipv6) = futures_util::join!(
                self.answer(*resolver, host, RecordType::A, true),
                self.answer(*resolver, host, RecordType::AAAA, true),
            );
            let records = ipv4.records().iter().chain(ipv6.records());
            let found: Vec<Record> = records
                .filter(|record| record.address().is_some())
                .cloned()
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The zone that a name lies in, which is the nearest name at or above it that has NS records, and its
    /// servers by name and address.
    async fn authorities<'a>(
        &self,
        asked: &'a str,
    ) -> (Option<&'a str>, Result<Vec<(String, SocketAddr)>, Failure>) {
        let mut zones = stream::iter(upwards(asked))
            .map(async |zone| (zone, self.name_servers(zone).await))
            .buffered(CLIMBED_AT_ONCE)
            .boxed();
        while let Some((zone, names)) = zones.next().await {
            let mut names = match names {
                Ok(names) if names.is_empty() => continue,
                Ok(names) => names,
                Err(failure) => return (None, Err(failure)),
            };
            names.truncate(MOST_AUTHORITIES);
            let found = join_all(names.into_iter().map(|name| async move {
                let addresses = self.addresses(&name).await;
                let first = addresses
                    .iter()
                    .find(|it| it.is_ipv4())
                    .or_else(|| addresses.first());
                first.map(|address| (name.clone(), SocketAddr::new(*address, self.authority_port)))
            }));
            let servers: Vec<_> = found.await.into_iter().flatten().collect();
            let servers = if servers.is_empty() {
                Err(Failure::NoServer)
            } else {
                Ok(servers)
            };
            return (Some(zone), servers);
        }
        (None, Err(Failure::NoServer))
    }

    /// The servers of a zone, as the first resolver names them that tells; none when it is no zone.
    ///
    /// # Errors
    /// When no resolver tells. Whether it is a zone is open then, and the one above knows nothing of a
    /// zone that is delegated.
    async fn name_servers(&self, zone: &str) -> Result<Vec<String>, Failure> {
        let mut failures = Vec::new();
        for resolver in self.resolvers.iter() {
            match self.told(*resolver, zone, RecordType::NS, true).await {
                Ok(message) => return Ok(servers_of(&message, zone)),
                Err(failure) => failures.push(failure),
            }
        }
        if self.is_alias(zone).await {
            return Ok(Vec::new());
        }
        Err(failures.into_iter().min().unwrap_or(Failure::NoServer))
    }

    /// Whether a name has a CNAME, which no zone has: where it leads may fail.
    async fn is_alias(&self, name: &str) -> bool {
        let aliases = self.aliases(name).await;
        aliases.iter().any(|(_, answer)| {
            let mut records = answer.records().iter();
            records.any(|it| it.name == name && matches!(it.data, Data::Cname(_)))
        })
    }

    /// CAA records from the hostname upwards, as far as the first name that has some.
    async fn caa(&self, hostname: &str) -> Vec<(String, Answer)> {
        let mut answers = stream::iter(upwards(name::base(hostname)))
            .map(async |at| (at, self.caa_at(at).await))
            .buffered(CLIMBED_AT_ONCE)
            .boxed();
        let mut all = Vec::new();
        while let Some((at, answer)) = answers.next().await {
            let is_last = answer
                .records()
                .iter()
                .any(|record| matches!(record.data, Data::Caa { .. }))
                || answer.failure().is_some();
            all.push((at.to_owned(), answer));
            if is_last {
                break;
            }
        }
        all
    }

    /// CAA records of one name, from the first resolver that tells.
    async fn caa_at(&self, name: &str) -> Answer {
        let mut answer = Answer::Failed(Failure::TimedOut);
        for resolver in self.resolvers.iter() {
            answer = self.answer(*resolver, name, RecordType::CAA, true).await;
            if answer.failure().is_none() {
                break;
            }
        }
        answer
    }

    async fn answer(
        &self,
        server: SocketAddr,
        asked: &str,
        type_: RecordType,
        recursive: bool,
    ) -> Answer {
        match self.told(server, asked, type_, recursive).await {
            Ok(message) => to_answer(&message, type_),
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// Asks, and asks a resolver that fails again: whether it is the signatures is told by an answer to
    /// those who do not look at them.
    async fn told(
        &self,
        server: SocketAddr,
        asked: &str,
        type_: RecordType,
        recursive: bool,
    ) -> Result<Message, Failure> {
        let told = self.ask(server, asked, type_, recursive, true).await;
        let is_failing = matches!(told, Err(Failure::ServerFailed));
        if !is_failing || !recursive {
            return told;
        }
        match self.ask(server, asked, type_, recursive, false).await {
            Ok(_) => Err(Failure::Bogus),
            Err(_) => told,
        }
    }

    async fn ask(
        &self,
        server: SocketAddr,
        asked: &str,
        type_: RecordType,
        recursive: bool,
        validated: bool,
    ) -> Result<Message, Failure> {
        let mut name = Name::from_ascii(asked).map_err(|_| Failure::Malformed)?;
        name.set_fqdn(true);
        let request = || {
            let mut options = DnsRequestOptions::default();
            options.recursion_desired = recursive;
            let mut request = DnsRequest::from_query(Query::query(name.clone(), type_), options);
            request.metadata.checking_disabled = !validated;
            request
        };
        let provider = TokioRuntimeProvider::default();
        let over_udp = async {
            let exchange = UdpClientStream::builder(server, provider.clone())
                .with_timeout(Some(self.patience))
                .exchange();
            first(&exchange, request()).await
        };
        let message = within(self.patience, over_udp).await?;
        let message = if message.metadata.truncation {
            let over_tcp = async {
                let exchange =
                    TcpClientStream::exchange(server, None, self.patience, None, provider.clone())
                        .await?;
                first(&exchange, request()).await
            };
            within(self.patience, over_tcp).await?
        } else {
            message
        };
        match message.metadata.response_code {
            // What a server of the zone has from others may be stale, and a referral is no answer.
            ResponseCode::NoError | ResponseCode::NXDomain
                if !recursive && !message.metadata.authoritative =>
            {
                Err(Failure::NotAuthoritative)
            }
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(message),
            // A server that does not follow CNAMEs for ever shows where they go, and fails.
            ResponseCode::ServFail if chain::goes_round(asked, &to_answer(&message, type_)) => {
                Ok(message)
            }
            ResponseCode::ServFail => Err(Failure::ServerFailed),
            _ => Err(Failure::Refused),
        }
    }
}

async fn first(exchange: &impl DnsHandle, request: DnsRequest) -> Result<Message, NetError> {
    match exchange.send(request).next().await {
        Some(answer) => Ok(answer?.into_message()),
        None => Err(NetError::Timeout),
    }
}

/// `patience` is for the whole of it: connection, tries, answer.
async fn within(
    patience: Duration,
    asked: impl Future<Output = Result<Message, NetError>>,
) -> Result<Message, Failure> {
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(NetError::Proto(_) | NetError::QueryCaseMismatch)) => Err(Failure::Malformed),
        // Refused connections and unreachable networks are silence, as far as a name is concerned.
        Ok(Err(_)) | Err(_) => Err(Failure::TimedOut),
    }
}

/// The name, and every name above it but the root.
fn upwards(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1))
}

fn plain(name: &Name) -> String {
    answers::plain(&name.to_ascii())
}

/// The servers that a zone names; none when the name is no zone of its own.
fn servers_of(message: &Message, zone: &str) -> Vec<String> {
    let mut names: Vec<String> = message
        .answers
        .iter()
        .filter(|record| plain(&record.name) == zone)
        .filter_map(|record| match &record.data {
            RData::NS(server) => Some(plain(&server.0)),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn to_answer(message: &Message, type_: RecordType) -> Answer {
    let records: Vec<Record> = message.answers.iter().filter_map(to_record).collect();
    let is_wanted = |record: &Record| {
        matches!(
            (&record.data, type_),
            (Data::A(_), RecordType::A)
                | (Data::Aaaa(_), RecordType::AAAA)
                | (Data::Txt(_), RecordType::TXT)
                | (Data::Caa { .. }, RecordType::CAA)
                | (Data::Cname(_), RecordType::CNAME)
        )
    };
    if records.iter().any(is_wanted) {
        Answer::Records(records)
    } else if message.metadata.response_code == ResponseCode::NXDomain {
        Answer::NoSuchName(records)
    } else {
        Answer::NoRecords(records)
    }
}

fn to_record(record: &hickory_proto::rr::Record) -> Option<Record> {
    let data = match &record.data {
        RData::A(address) => Data::A(address.0),
        RData::AAAA(address) => Data::Aaaa(address.0),
        RData::CNAME(target) => Data::Cname(plain(&target.0)),
        RData::TXT(text) => Data::Txt(
            text.txt_data
                .iter()
                .map(|part| String::from_utf8_lossy(part))
                .collect(),
        ),
        RData::CAA(caa) => Data::Caa {
            // Many write 1 for the flag that is 128, and Let's Encrypt reads it so.
            critical: caa.issuer_critical || caa.reserved_flags & 1 != 0,
            tag: caa.tag.to_string(),
            value: String::from_utf8_lossy(&caa.value).into_owned(),
        },
        _ => return None,
    };
    Some(Record {
        name: plain(&record.name),
        ttl: record.ttl,
        data,
    })
}

#[cfg(test)]
mod tests;
