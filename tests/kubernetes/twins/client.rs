//! Requests from a pod by echo's own client, and what it prints of the answers.

use std::collections::BTreeMap;

use super::world::World;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How often a request is made by [`World::all`]: each answer must be right.
const TIMES: usize = 10;

/// A request to make.
#[derive(Clone, Default)]
pub struct Ask<'a> {
    pub url: &'a str,
    /// `name:value`.
    pub headers: &'a [&'a str],
    /// From the consumer's pod.
    pub as_consumer: bool,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    /// 0 for gRPC, where only answers without an error are printed.
    pub status: u16,
    /// The pod that answered; empty when no pod did.
    pub pod: String,
    /// The path and query that the pod saw.
    pub path: String,
    /// Headers that the pod saw, `Name:value`, sorted.
    pub seen: Vec<String>,
    /// Headers of the answer, `Name:value`.
    pub back: Vec<String>,
}

impl Answer {
    /// The Deployment of the pod that answered; the status when no pod did.
    pub fn backend(&self) -> String {
        match self.pod.rsplitn(3, '-').nth(2) {
            Some(deployment) => deployment.to_owned(),
            None => self.status.to_string(),
        }
    }

    /// The values of a header of the answer.
    pub fn back(&self, name: &str) -> Vec<&str> {
        values(&self.back, name)
    }

    /// The values of a header that the pod saw.
    pub fn seen(&self, name: &str) -> Vec<&str> {
        values(&self.seen, name)
    }
}

fn values<'a>(headers: &'a [String], name: &str) -> Vec<&'a str> {
    let pairs = headers.iter().filter_map(|header| header.split_once(':'));
    pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

impl World<'_> {
    /// The answers to many requests under way together.
    pub fn ask(&self, ask: &Ask<'_>, times: usize) -> Result<Vec<Answer>, Error> {
        let (namespace, pod) = match ask.as_consumer {
            true => (&self.consumer, &self.consumer_client),
            false => (&self.namespace, &self.client),
        };
        let count = format!("--count={times}");
        // For all of them together; the client's own limit is 5 s.
        let mut argv = vec!["client", "--timeout=60s", ask.url, &count];
        if ask.url.starts_with("http:") {
            argv.push("--method=GET");
        }
        argv.extend(ask.headers.iter().flat_map(|header| ["--header", header]));
        let answers = read(&self.cluster.exec(namespace, pod, "echo", &argv)?);
        match answers.len() == times {
            true => Ok(answers),
            false => Err(format!("{} answers of {times} to {}", answers.len(), ask.url).into()),
        }
    }

    /// Fails unless every answer to a request is right.
    pub fn all(&self, ask: Ask<'_>, right: impl Fn(&Answer) -> bool) -> Result<(), Error> {
        match self.ask(&ask, TIMES)?.into_iter().find(|answer| !right(answer)) {
            None => Ok(()),
            Some(wrong) => Err(format!("{} {:?}: {wrong:?}", ask.url, ask.headers).into()),
        }
    }

    /// Fails unless all requests of a table of URLs and headers go where they should, with the path as it is.
    pub fn all_go(&self, table: &[(&str, &[&str], &str)]) -> Result<(), Error> {
        for (path, headers, backend) in table {
            let url = format!("http://echo{path}");
            let right =
                |answer: &Answer| answer.backend() == *backend && (answer.pod.is_empty() || answer.path == *path);
            self.all(Ask { url: &url, headers, ..Ask::default() }, right)?;
        }
        Ok(())
    }
}

/// Lines such as `[3] StatusCode=200` and `[3 body] Hostname=<pod>`, of answers in any order.
fn read(printed: &str) -> Vec<Answer> {
    let mut answers = BTreeMap::<usize, Answer>::new();
    for line in printed.lines() {
        let Some((number, text)) = line.strip_prefix('[').and_then(|line| line.split_once("] ")) else { continue };
        let (number, in_body) = match number.split_once(' ') {
            Some((number, "body")) => (number, true),
            Some(_) => continue,
            None => (number, false),
        };
        let (Ok(number), Some((field, value))) = (number.parse(), text.split_once('=')) else { continue };
        let answer = answers.entry(number).or_default();
        match (in_body, field) {
            (false, "StatusCode") => answer.status = value.parse().unwrap_or_default(),
            (false, "ResponseHeader") => answer.back.push(value.to_owned()),
            (true, "RequestHeader") => answer.seen.push(value.to_owned()),
            (true, "Hostname") => answer.pod = value.to_owned(),
            (true, "URL") => answer.path = value.to_owned(),
            _ => {}
        }
    }
    answers.into_values().collect()
}
