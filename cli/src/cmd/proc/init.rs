//! `fazt proc init`, `fazt proc uninstall`: a server that starts with its machine.
//!
//! ```text
//! look at the machine ─▶ program ─▶ users ─▶ data folder, config.toml ─▶ unit ─▶ start ─▶ owner's link
//! ```
//! Each step looks first whether it is done, so that the command can be given again. What cannot be undone by
//! `uninstall` is not done. Without root or systemd only the data folder is made.

use std::fs::{self, DirBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use fazt_ipc::control::ErrorKind;
use fazt_supervisor::config::Config;
use serde::Serialize;

use crate::client::look_up;
use crate::error::{Context as _, Done, failed, invalid, plain, problem};
use crate::output::{Colour, Out, confirm};
use crate::text;

/// Where the program is installed.
const PROGRAM: &str = "/usr/local/bin/fazt";
/// Where the service keeps what it knows: what `--data` is for root.
const DATA: &str = "/var/lib/fazt";
const UNIT: &str = "/etc/systemd/system/fazt.service";
const UNIT_TEXT: &str = include_str!("../../../../packaging/fazt.service");
const USERS: &str = "/etc/sysusers.d/fazt.conf";
const USERS_TEXT: &str = include_str!("../../../../packaging/fazt.sysusers");
/// The folder that is there while systemd runs the machine: sd_booted(3).
const SYSTEMD: &str = "/run/systemd/system";

/// Least memory of a machine, MiB: one of 1 GB says that it has some less.
const MEMORY_MIB_MIN: u64 = 450;
/// Least kernel: seccomp that tells why, `clone3` into a group, Landlock.
const KERNEL_MIN: (u32, u32) = (5, 15);
/// The clock of a machine that is right is past the day this was written: 2026-11-01, in seconds since 1970.
const CLOCK_MIN_UNIX_S: u64 = 1_793_491_200;

/// What is wanted.
#[derive(Args)]
pub(crate) struct Wishes {
    /// Domain whose name and `*.` lead to this machine [default: the machine's address; apps want a domain]
    #[arg(long)]
    domain: Option<String>,
    /// Whom the authority tells when something is wrong with a certificate
    #[arg(long)]
    email: Option<String>,
    /// Where certificates come from [default: auto with a domain, else self-signed]
    #[arg(long, value_enum)]
    tls: Option<Mode>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Auto,
    SelfSigned,
    Off,
}

/// What came of it.
#[derive(Serialize)]
struct Made {
    data: PathBuf,
    config: PathBuf,
    /// The configuration was written now.
    made: bool,
    /// The server starts with the machine.
    service: bool,
    steps: Vec<Step>,
    /// What may keep people from reaching it.
    warnings: Vec<String>,
    /// The program or its unit is another one now, and the one before still runs.
    restart: bool,
    /// Where the owner begins; none: there is one already, or nothing was started.
    sign_in_url: Option<String>,
}

#[derive(Serialize)]
struct Step {
    what: String,
    /// `done`, `was so`, `would be done`.
    state: &'static str,
}

/// Steps as they are taken.
struct Steps {
    out: Out,
    dry: bool,
    taken: Vec<Step>,
}

impl Steps {
    fn take(&mut self, what: impl Into<String>, is_so: bool, act: impl FnOnce() -> Done) -> Done {
        let what = what.into();
        let state = match (is_so, self.dry) {
            (true, _) => "was so",
            (false, true) => "would be done",
            (false, false) => {
                act()?;
                "done"
            }
        };
        let colour = if is_so { Colour::Dim } else { Colour::Green };
        self.out.note(format!("  {} {what}", self.out.paint(colour, &format!("{state:<13}"))));
        self.taken.push(Step { what, state });
        Ok(())
    }
}

/// `fazt proc init`
pub(super) fn init(data: &Path, wishes: &Wishes, out: Out) -> Done {
    let service =
        rustix::process::geteuid().is_root() && Path::new(SYSTEMD).exists() && data == Path::new(DATA);
    let config_path = data.join("config.toml");
    let is_new = !config_path.exists();
    let text = if is_new { configuration(wishes, service)? } else { String::new() };
    let config = match is_new {
        true => Config::read(&text).map_err(|why| invalid(why, "fazt proc config explains each field"))?,
        false => {
            let read =
                Config::load(data).map_err(|error| invalid(error.to_string(), "fazt proc config explains"));
            agrees(&read?, wishes, &config_path)?
        }
    };
    let warnings = if service { look(&config)? } else { Vec::new() };
    let mut steps = Steps { out, dry: wishes.dry_run, taken: Vec::new() };
    if service {
        install_program(&mut steps)?;
        write(&mut steps, USERS, USERS_TEXT)?;
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let there =
            ["fazt-sup:", "fazt-egress:"].iter().all(|name| users.lines().any(|line| line.starts_with(name)));
        steps.take("users fazt-sup, fazt-egress", there, || run("systemd-sysusers", &[USERS]))?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    steps.take(format!("data folder {}", data.display()), data.is_dir(), || {
        builder.create(data).context(|| format!("make the data folder {}", data.display()))
    })?;
    let what = format!("configuration {}", config_path.display());
    steps.take(what, !is_new, || {
        let writing = || format!("write {}", config_path.display());
        let mut file = fs::File::create_new(&config_path).context(writing)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).context(writing)
    })?;
    let mut restart = false;
    if service {
        let changed = write(&mut steps, UNIT, UNIT_TEXT)?;
        if changed && !wishes.dry_run {
            run("systemctl", &["daemon-reload"])?;
        }
        let replaced = steps.taken.first().is_some_and(|program| program.state == "done");
        restart = (replaced || changed) && !wishes.dry_run && is("is-active");
        steps.take("started with the machine", is("is-enabled"), || {
            run("systemctl", &["enable", "--quiet", "fazt"])
        })?;
        steps.take("started now", is("is-active"), || {
            run("systemctl", &["start", "fazt"]).map_err(|error| {
                problem(error.code, error.message, "journalctl -u fazt -n 30 --no-pager says why")
            })
        })?;
    }
    let sign_in_url = if service && !wishes.dry_run { first_link()? } else { None };
    let made = Made {
        data: data.to_owned(),
        config: config_path,
        made: is_new && !wishes.dry_run,
        service,
        steps: steps.taken,
        warnings,
        restart,
        sign_in_url,
    };
    out.show(&made, |made| said(made, &config, wishes.dry_run, out))
}

/// Tells a person what there is now, and what comes next.
fn said(made: &Made, config: &Config, dry_run: bool, out: Out) {
    for warning in &made.warnings {
        out.line(format!("{} {}", out.paint(Colour::Yellow, "note:"), text::clean(warning)));
    }
    if dry_run {
        return out.line("Nothing was done: this is what it would be.");
    }
    let data = made.data.display();
    if !made.service {
        let was = if made.made { "is ready" } else { "was there already; nothing changed" };
        out.line(format!("The data folder {data} {was}."));
        return out.line(format!("Next: fazt proc start --data {data}"));
    }
    out.line("Fazt runs, and starts with this machine: systemctl status fazt, journalctl -u fazt.");
    if made.restart {
        out.line("What runs is still the program of before: systemctl restart fazt.");
    }
    match &made.sign_in_url {
        Some(url) => out.line(format!(
            "Choose your name and password, once, within an hour: {}",
            out.paint(Colour::Bold, url)
        )),
        None => out.line("Its owner is there already: `fazt user passwd owner` prints a new link."),
    }
    if config.domain.parse::<IpAddr>().is_ok() {
        out.line("Browsers will warn: the certificate is the server's own. Apps want a domain: set domain and tls.mode in");
        out.line(format!("{data}/config.toml, then `systemctl restart fazt`."));
    }
    out.line(format!(
        "Keep a copy of {data}/keys elsewhere: without them, what is sealed in a backup does not open."
    ));
}

/// The configuration of a new server.
fn configuration(wishes: &Wishes, service: bool) -> Done<String> {
    let mut text = "\
# Configuration of this Fazt. Every field has a default, so an empty file is a good one.
# `fazt proc config` shows each field with its value, its default and the reason for it.
"
    .to_owned();
    if !service && wishes.domain.is_none() && wishes.tls.is_none() && wishes.email.is_none() {
        return Ok(text);
    }
    let domain = match &wishes.domain {
        Some(domain) => domain.to_ascii_lowercase(),
        None => own_address().map_or_else(|| "localhost".to_owned(), |address| address.to_string()),
    };
    let tls = wishes.tls.unwrap_or(if wishes.domain.is_some() { Mode::Auto } else { Mode::SelfSigned });
    let mode = match tls {
        Mode::Auto => "auto",
        Mode::SelfSigned => "self-signed",
        Mode::Off => "off",
    };
    // Some machines have no IPv6 at all.
    let six = UdpSocket::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).is_ok();
    let listen = |port: u16| match six {
        true => format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"),
        false => format!("[\"0.0.0.0:{port}\"]"),
    };
    text.push_str(&format!(
        "domain = {domain:?}\nlisten = {}\n\n[tls]\nmode = {mode:?}\nlisten = {}\n",
        listen(80),
        listen(443)
    ));
    if let Some(email) = &wishes.email {
        text.push_str(&format!("email = {email:?}\n"));
    }
    Ok(text)
}

/// A configuration that is there is not changed: what was asked for has to be what it says.
fn agrees(config: &Config, wishes: &Wishes, path: &Path) -> Done<Config> {
    let mode = |mode| match mode {
        Mode::Auto => "auto",
        Mode::SelfSigned => "self-signed",
        Mode::Off => "off",
    };
    let wrong = [
        ("domain", wishes.domain.as_ref().map(|domain| domain.to_ascii_lowercase()), config.domain.clone()),
        ("tls.email", wishes.email.clone(), config.tls.email.clone()),
        ("tls.mode", wishes.tls.map(|tls| mode(tls).to_owned()), config.tls.mode.name().to_owned()),
    ];
    for (field, wanted, is) in wrong {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
            return Err(problem(
                ErrorKind::Conflict,
                format!("{} is there, and {field} is {is:?}, not {wanted:?}", path.display()),
                "edit it and `systemctl restart fazt`; nothing was changed",
            ));
        }
    }
    Ok(config.clone())
}

/// Looks at the machine: what cannot work is an error, what may not is a warning.
fn look(config: &Config) -> Done<Vec<String>> {
    let mut warnings = Vec::new();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = kernel.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let is = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if is < KERNEL_MIN {
        return Err(problem(
            ErrorKind::Failed,
            format!(
                "this machine's kernel is {kernel}; Fazt wants {}.{} or newer",
                KERNEL_MIN.0, KERNEL_MIN.1
            ),
            "Ubuntu 22.04 and Debian 12 have one; upgrade the system",
        ));
    }
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let lacking: Vec<_> = ["memory", "pids"]
        .into_iter()
        .filter(|name| !controllers.split_whitespace().any(|one| one == *name))
        .collect();
    if !lacking.is_empty() {
        return Err(problem(
            ErrorKind::Failed,
            format!("cgroup v2 of this machine has no controller for {}", lacking.join(" and ")),
            "boot it with systemd.unified_cgroup_hierarchy=1, and cgroup_enable=memory where the kernel leaves it out",
        ));
    }
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if now < CLOCK_MIN_UNIX_S {
        return Err(problem(
            ErrorKind::Failed,
            format!("the clock of this machine is wrong: it says {}", text::timestamp(now * 1_000)),
            "set it with `timedatectl set-ntp true`: certificates are good by the clock",
        ));
    }
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    if kib.is_some_and(|kib: u64| kib / 1024 < MEMORY_MIB_MIN) {
        warnings.push(format!(
            "this machine has {} MiB of memory: few apps will run at once",
            kib.unwrap_or(0) / 1024
        ));
    }
    if !self::is("is-active") {
        for address in config.listen.iter().chain(config.tls_listen()) {
            free(*address)?;
        }
    }
    if fs::read_to_string("/etc/ufw/ufw.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "ENABLED=yes"))
    {
        warnings.push("the firewall ufw is on: `ufw allow 80,443/tcp` lets people in".into());
    }
    if config.domain.parse::<IpAddr>().is_err() && config.domain != "localhost" {
        warnings.extend(names(&config.domain));
    }
    Ok(warnings)
}

/// Demands that nobody listens there.
fn free(address: SocketAddr) -> Done {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && address.is_ipv6() => {
            // Somebody on IPv4 takes both; the other address tells.
            let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            if TcpListener::bind(four).is_ok() { Ok(()) } else { free(four) }
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(problem(
            ErrorKind::Conflict,
            format!("another program listens on port {}", address.port()),
            format!(
                "`ss -ltnp 'sport = :{}'` names it: stop it, or put Fazt behind it with --tls off",
                address.port()
            ),
        )),
        Err(error) => Err(problem(
            ErrorKind::Failed,
            format!("cannot listen on {address}: {}", plain(&error.to_string())),
            "name addresses of this machine under listen in config.toml",
        )),
    }
}

/// What is wrong with the names of a domain.
fn names(domain: &str) -> Option<String> {
    let own = own_address()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let found = runtime.block_on(async {
        let looked = tokio::time::timeout(std::time::Duration::from_secs(5), look_up(domain));
        looked.await.ok().and_then(Result::ok).unwrap_or_default()
    });
    if found.contains(&own) {
        return None;
    }
    Some(match found.first() {
        None => format!(
            "{domain} has no address yet: make an A record of {own} for it, and one for *.{domain}. Certificates come by \
             themselves once it has"
        ),
        Some(other) => format!(
            "{domain} leads to {other}, and this machine is {own}: right behind a router or a proxy, else mend its A record"
        ),
    })
}

/// The address by which this machine reaches others; nothing is sent for it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).ok()?;
    // An address for documentation (RFC 5737): only the route to it is looked up.
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}

/// Puts this program where the service finds it.
fn install_program(steps: &mut Steps) -> Done {
    let own = std::env::current_exe().context(|| "find this program".into())?;
    let is_so = own == Path::new(PROGRAM) || same(&own, Path::new(PROGRAM));
    steps.take(format!("program {PROGRAM}"), is_so, || {
        // Beside it first: whoever starts it meanwhile has the one or the other.
        let new = format!("{PROGRAM}.new");
        fs::copy(&own, &new).context(|| format!("write {new}"))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))
            .context(|| format!("let all run {new}"))?;
        fs::rename(&new, PROGRAM).context(|| format!("write {PROGRAM}"))
    })
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Writes a file of the system unless it says so already. Whether it did not.
fn write(steps: &mut Steps, path: &str, text: &str) -> Done<bool> {
    let is_so = fs::read_to_string(path).is_ok_and(|found| found == text);
    steps.take(path, is_so, || {
        if let Some(folder) = Path::new(path).parent() {
            fs::create_dir_all(folder).context(|| format!("make {}", folder.display()))?;
        }
        fs::write(path, text).context(|| format!("write {path}"))
    })?;
    Ok(!is_so)
}

fn run(program: &str, arguments: &[&str]) -> Done {
    let output = Command::new(program).args(arguments).output().context(|| format!("run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{program} {} failed: {}", arguments.join(" "), text::clean(said.trim()))))
}

/// Asks systemd about the service.
fn is(question: &str) -> bool {
    Command::new("systemctl")
        .args([question, "--quiet", "fazt"])
        .status()
        .is_ok_and(|status| status.success())
}

/// The link with which the owner begins, while there is none.
fn first_link() -> Done<Option<String>> {
    let ask = |arguments: &[&str]| -> Done<serde_json::Value> {
        let output = Command::new(PROGRAM).args(arguments).args(["--json", "--data", DATA]).output();
        let output = output.context(|| format!("run {PROGRAM}"))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            failed(format!(
                "the server does not answer: {}",
                text::clean(&String::from_utf8_lossy(&output.stderr))
            ))
        })
    };
    let users = ask(&["user", "list"])?;
    let owner = users.as_array().into_iter().flatten().find(|user| user["role"] == "owner");
    match owner {
        Some(owner) if owner["password"] == false => {
            let name = owner["name"].as_str().unwrap_or("owner");
            Ok(ask(&["user", "passwd", name])?["url"].as_str().map(str::to_owned))
        }
        _ => Ok(None),
    }
}

/// What was taken away.
#[derive(Serialize)]
struct Gone {
    steps: Vec<Step>,
    /// Where the data is, if it was kept.
    data: Option<PathBuf>,
}

/// `fazt proc uninstall`
pub(super) fn uninstall(data: &Path, purge: bool, yes: bool, out: Out) -> Done {
    if !rustix::process::geteuid().is_root() || !Path::new(SYSTEMD).exists() || data != Path::new(DATA) {
        return Err(problem(
            ErrorKind::PermissionDenied,
            "there is no service of this data folder that this user could take away",
            format!("as root, on a machine with systemd, `fazt proc uninstall` takes away that of {DATA}"),
        ));
    }
    if purge && !yes {
        match confirm(&format!("Delete all apps, users and data in {DATA}? Nothing brings them back.")) {
            Some(true) => {}
            Some(false) => return Err(problem(ErrorKind::Failed, "nothing was taken away", "")),
            None => {
                return Err(invalid(
                    "nothing was taken away: there is no terminal to ask on",
                    "fazt proc uninstall --purge --yes",
                ));
            }
        }
    }
    let mut steps = Steps { out, dry: false, taken: Vec::new() };
    steps.take("stopped", !is("is-active"), || run("systemctl", &["stop", "fazt"]))?;
    steps.take("not started with the machine", !is("is-enabled"), || {
        run("systemctl", &["disable", "--quiet", "fazt"])
    })?;
    for path in [UNIT, USERS, PROGRAM] {
        steps.take(format!("{path} removed"), !Path::new(path).exists(), || {
            fs::remove_file(path).context(|| format!("remove {path}"))
        })?;
    }
    run("systemctl", &["daemon-reload"])?;
    if purge {
        steps.take(format!("{DATA} removed"), !data.exists(), || {
            fs::remove_dir_all(data).context(|| format!("remove {DATA}"))
        })?;
    }
    let gone = Gone { steps: steps.taken, data: Some(data.to_owned()).filter(|data| data.exists()) };
    out.show(&gone, |gone| match &gone.data {
        Some(data) => {
            out.line(format!("Fazt is gone from this machine; what it knew is in {}.", data.display()));
            out.line(
                "`fazt proc init` takes it up again; `fazt proc uninstall --purge` would have removed it.",
            );
        }
        None => out.line("Fazt and all that it knew are gone from this machine."),
    })
}
