//! What a slot must know to give a worker its app. Made once for each version, not for each request.

use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::ids::AppId;
use fazt_ipc::limits::{FRAME_BODY_BYTES_MAX, MEMORY_MIB_BESIDE_HEAP};
use fazt_ipc::wire::kernel::{BindingKind, Configure, Module, Start, User};
use fazt_ipc::wire::{KernelKind, WireError};

use super::link::{Budget, Wire};
use crate::kernel::fs::{Code, Edition, FsError, Manifest, Release};
use crate::kernel::security::Person;
use crate::kernel::syscall::{Calls, Desk};

/// One version of one app, as its workers are told of it.
pub(crate) struct Spec {
    /// The app.
    pub(crate) app: AppId,
    /// Its name.
    pub(crate) name: String,
    /// This version, with these variables.
    pub(crate) edition: Edition,
    version_text: String,
    compatibility_date: String,
    assets: String,
    spa: bool,
    bindings: Vec<(String, BindingKind)>,
    heap_bytes: u64,
    cpu_ms: u32,
    wall: Duration,
    /// Who answers its workers' calls.
    pub(crate) calls: Arc<dyn Calls>,
    source: Source,
}

enum Source {
    Release(Arc<Release>),
    #[cfg(test)]
    Fixed(Arc<Code>),
}

/// What else than text is in `env`.
fn bindings(manifest: &Manifest) -> Vec<(String, BindingKind)> {
    let json = manifest.env.iter().filter(|env| env.json).map(|env| (env.name.clone(), BindingKind::Json));
    manifest.bindings().into_iter().chain(json).collect()
}

impl Spec {
    /// Of a release.
    pub(crate) fn of(release: &Arc<Release>) -> Arc<Self> {
        let limits = &release.manifest.limits;
        Arc::new(Self {
            app: release.app,
            name: release.name.clone(),
            edition: release.edition(),
            version_text: release.manifest.version.clone(),
            compatibility_date: release.manifest.compatibility_date.clone(),
            assets: release.manifest.assets.clone().unwrap_or_default(),
            spa: release.manifest.spa,
            bindings: bindings(&release.manifest),
            heap_bytes: u64::from(limits.memory_mib) << 20,
            cpu_ms: limits.cpu_ms,
            wall: Duration::from_secs(u64::from(limits.wall_s)),
            calls: Arc::new(Desk::new(Arc::clone(release))),
            source: Source::Release(Arc::clone(release)),
        })
    }

    #[cfg(test)]
    pub(crate) fn fixed(app: AppId, calls: Arc<dyn Calls>, wall: Duration) -> Arc<Self> {
        use fazt_ipc::limits;
        use fazt_ipc::wire::kernel::ModuleKind;
        let module = crate::kernel::fs::CodeModule {
            path: "server.js".into(),
            kind: ModuleKind::Script,
            bytes: bytes::Bytes::from_static(b"export default {}"),
        };
        Arc::new(Self {
            app,
            name: "app".into(),
            edition: Edition::plain(fazt_ipc::ids::VersionId::new(1, 1)),
            version_text: String::new(),
            compatibility_date: "2026-11-20".into(),
            assets: String::new(),
            spa: false,
            bindings: Vec::new(),
            heap_bytes: u64::from(limits::MEMORY_MIB_DEFAULT) << 20,
            cpu_ms: limits::CPU_MS_DEFAULT,
            wall,
            calls,
            source: Source::Fixed(Arc::new(Code {
                main: "server.js".into(),
                modules: vec![module],
                ..Code::default()
            })),
        })
    }

    /// Its modules.
    pub(crate) async fn code(&self) -> Result<Arc<Code>, FsError> {
        match &self.source {
            Source::Release(release) => release.code().await,
            #[cfg(test)]
            Source::Fixed(code) => Ok(Arc::clone(code)),
        }
    }

    /// Names and values of its variables: opened for a worker that is there, held no longer.
    pub(crate) fn variables(&self) -> Result<Vec<(String, String)>, FsError> {
        match &self.source {
            Source::Release(release) => release.variables(),
            #[cfg(test)]
            Source::Fixed(_) => Ok(Vec::new()),
        }
    }

    /// Cap of the leaf of one of its workers.
    pub(crate) const fn leaf_bytes(&self) -> u64 {
        self.heap_bytes + ((MEMORY_MIB_BESIDE_HEAP as u64) << 20)
    }

    /// What the supervisor holds its workers to.
    pub(crate) const fn budget(&self, may_grow: bool) -> Budget {
        Budget { cpu: Duration::from_millis(self.cpu_ms as u64), wall: self.wall, may_grow }
    }

    /// Everything that a worker is sent before its first request.
    pub(crate) fn load(
        &self,
        person: Option<&Person>,
        code: &Code,
        env: Vec<(String, String)>,
        wire: &mut Wire,
    ) -> Result<(), WireError> {
        let configure = Configure {
            app: self.app,
            app_name: self.name.clone(),
            app_version: self.version_text.clone(),
            memory_bytes: self.heap_bytes,
            cpu_ms: self.cpu_ms,
            user: person.map(|person| User {
                id: person.id().to_string(),
                name: person.name().to_owned(),
                role: person.role().name().to_owned(),
            }),
            env,
            bindings: self.bindings.clone(),
            compatibility_date: self.compatibility_date.clone(),
            assets: self.assets.clone(),
            spa: self.spa,
        };
        wire.send(KernelKind::Configure, 0, false, &configure)?;
        send_modules(wire, code.modules.iter().map(|module| (&*module.path, module.kind, &*module.bytes)))?;
        wire.send(KernelKind::Start, 0, false, &Start { main: &code.main })?;
        wire.accept();
        Ok(())
    }
}

/// Sends modules, each announced and then in frames.
pub(crate) fn send_modules<'a>(
    wire: &mut Wire,
    modules: impl Iterator<Item = (&'a str, fazt_ipc::wire::kernel::ModuleKind, &'a [u8])>,
) -> Result<(), WireError> {
    for (path, kind, bytes) in modules {
        let announced = u32::try_from(bytes.len()).map_err(|_| WireError::Bound("module"))?;
        wire.send(KernelKind::Module, 0, false, &Module { path, kind, bytes: announced })?;
        for chunk in bytes.chunks(FRAME_BODY_BYTES_MAX) {
            wire.send_raw(KernelKind::ModuleData, 0, false, chunk)?;
        }
    }
    Ok(())
}
