//! `cargo xtask serve`: the page on this machine.

use std::path::{Path, PathBuf};

use tiny_http::{Header, Method, Response, Server};

use crate::{Result, root};

/// Serves `web/dist` until it is interrupted.
///
/// # Errors
/// A sentence where there is no page or the port is taken.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let port = port(args)?;
    let dist = root().join("web").join("dist");
    if !dist.join("moue_bg.wasm").is_file() {
        return Err("there is no web/dist; run `cargo xtask web` first".to_owned());
    }
    let server = Server::http(("127.0.0.1", port)).map_err(|error| format!("port {port}: {error}"))?;
    println!("http://{}/", server.server_addr());
    for request in server.incoming_requests() {
        let answered = match (request.method(), file(&dist, request.url())) {
            (Method::Get | Method::Head, Some(path)) => match std::fs::File::open(&path) {
                Ok(file) => request.respond(Response::from_file(file).with_header(header("content-type", mime(&path)))),
                Err(_) => request.respond(Response::empty(404)),
            },
            (Method::Get | Method::Head, None) => request.respond(Response::empty(404)),
            _ => request.respond(Response::empty(405)),
        };
        if let Err(problem) = answered {
            // A browser that goes away is no reason to stop.
            eprintln!("{problem}");
        }
    }
    Ok(true)
}

fn port(args: &[String]) -> Result<u16> {
    match args {
        [] => Ok(8080),
        [flag, port] if flag == "--port" => {
            port.parse().map_err(|_| format!("--port: expected 0 to 65535, found `{port}`"))
        }
        _ => Err(format!("expected nothing or `--port PORT`, found `{}`", args.join(" "))),
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("invariant: names and types are ASCII")
}

/// The file that an address asks for, if it names one below the folder.
fn file(dist: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.strip_prefix('/')?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', ':', '%']);
    if !path.is_empty() && !path.trim_end_matches('/').split('/').all(plain) {
        return None;
    }
    let path = dist.join(path);
    Some(if path.is_dir() { path.join("index.html") } else { path })
}

/// The type of a file by the end of its name.
fn mime(path: &Path) -> &'static str {
    match path.extension().and_then(|end| end.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "md" | "ts" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_in_the_folder() {
        let dist = Path::new("dist");
        assert_eq!(file(dist, "/api/worker.js?v=1"), Some(dist.join("api/worker.js")));
        for outside in ["/../secret", "/api/../../secret", "/.git/config", "/%2e%2e/secret", "//etc/passwd", "x"] {
            assert_eq!(file(dist, outside), None, "{outside}");
        }
    }

    #[test]
    fn modules_have_the_types_that_browsers_insist_on() {
        assert_eq!(mime(Path::new("moue_bg.wasm")), "application/wasm");
        assert!(mime(Path::new("moue.js")).starts_with("text/javascript"));
    }

    #[test]
    fn the_port_is_a_number() {
        let args = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(port(&[]), Ok(8080));
        assert_eq!(port(&args(&["--port", "0"])), Ok(0));
        assert!(port(&args(&["--port", "70000"])).is_err());
        assert!(port(&args(&["--prot", "1"])).is_err());
    }
}
