//! `cargo xtask serve`: the page on this machine.

use std::path::{Path, PathBuf};

use tiny_http::{Header, Method, Request, Response, Server};

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
            (Method::Get | Method::Head, Some(path)) => answer(request, &path),
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

/// What the page may load and run: its own files, and what it makes of pictures. A worker obeys its own script's policy.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; \
     media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
     form-action 'none'";

/// Sends a file, or that the browser has it already.
fn answer(request: Request, path: &Path) -> std::io::Result<()> {
    let opened = std::fs::File::open(path).ok().and_then(|file| tag(&file).map(|tag| (file, tag)));
    let Some((file, tag)) = opened else {
        return request.respond(Response::empty(404));
    };
    let headers = [
        header("content-type", mime(path)),
        header("content-security-policy", &format!("{POLICY}; frame-ancestors 'none'")),
        header("x-content-type-options", "nosniff"),
        header("referrer-policy", "no-referrer"),
        // Kept, but asked for each time: what is served changes while it is worked on.
        header("cache-control", "no-cache"),
        header("etag", &tag),
    ];
    let has = request.headers().iter().any(|h| h.field.equiv("if-none-match") && h.value.as_str() == tag);
    if has {
        let response = headers.into_iter().fold(Response::empty(304), Response::with_header);
        return request.respond(response);
    }
    request.respond(headers.into_iter().fold(Response::from_file(file), Response::with_header))
}

/// A name for a file's content: another as soon as it is written again.
fn tag(file: &std::fs::File) -> Option<String> {
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let written = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("\"{:x}-{:x}\"", metadata.len(), written.as_nanos()))
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
    fn the_page_states_the_policy_that_it_is_served_with() {
        let page = std::fs::read_to_string(root().join("web/index.html")).expect("web/index.html");
        assert!(page.contains(&format!("content=\"{POLICY}\"")), "expected {POLICY}");
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
