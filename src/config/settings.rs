//! All settings of an operator.

use super::branch::{self, BranchSettings};
use super::engine::{BuildLimits, EngineSettings, RetentionSettings};
use super::error::SettingsError;
use super::host::HostSettings;
use super::http::HttpSettings;
use super::network::NetworkSettings;
use super::oidc::OidcSettings;
use super::owners::OwnersSettings;
use super::recipes::RecipesSettings;
use super::registry::RegistrySettings;
use super::source::SourceSettings;
use super::trust::TrustSettings;
use super::verdicts::VerdictSettings;
use crate::domain::address::{Address, Secrets};
use crate::domain::limits::{Limits, Seconds};
use crate::domain::retention::Policy;
use crate::domain::trust::Trust;
use crate::profile::Profiles;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder of the SQLite database, the logs, the objects and the mirror.
    pub data: PathBuf,
    /// The database, as a `postgres://..` URL. If empty, an SQLite file in `data`.
    pub database: Address,
    /// Address on which the pages and the API are served.
    pub listen: SocketAddr,
    /// Folder of recipes. If it and `recipes.git` are empty, the built-in recipes are used.
    pub projects: PathBuf,
    /// Folder of build profiles. If empty, the built-in profiles are used.
    pub images: PathBuf,
    /// The number of jobs that a host runs at the same time.
    pub slots: usize,
    /// The time between two fetches of new revisions.
    pub poll: Seconds,
    /// The names of the coordinator on the web, and the limits of its connections.
    pub http: HttpSettings,
    /// The identity provider by which people log in.
    pub oidc: OidcSettings,
    pub source: SourceSettings,
    pub branch: Vec<BranchSettings>,
    pub engine: EngineSettings,
    /// The retention of images and volumes on the engine.
    pub retention: RetentionSettings,
    pub network: NetworkSettings,
    /// The container registry through which images travel between hosts.
    pub registry: RegistrySettings,
    /// The repository that holds recipes, and how recipes that people submit are approved.
    pub recipes: RecipesSettings,
    /// How owners of hosts are notified.
    pub owners: OwnersSettings,
    /// The limits of a run. A recipe can only lower them.
    pub limits: Limits,
    /// The limits of an image build.
    pub build: BuildLimits,
    /// How the coordinator investigates changes in results.
    pub verdicts: VerdictSettings,
    /// Which projects are maintained, and whose results are enough to name the author of a revision.
    pub trust: TrustSettings,
    /// The host policy: which jobs this machine takes, for which projects and branches.
    pub host: HostSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let branch = BranchSettings::new;
        Self {
            data: "pybots-data".into(),
            database: Address::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8042)),
            projects: PathBuf::new(),
            images: PathBuf::new(),
            slots: std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)),
            poll: Seconds(60),
            http: HttpSettings::default(),
            oidc: OidcSettings::default(),
            source: SourceSettings::default(),
            branch: vec![
                branch("trunk", "main"),
                branch("3.15", "3.15"),
                branch("3.14", "3.14"),
                branch("3.13", "3.13"),
                branch("3.12", "3.12"),
                branch("3.11", "3.11"),
                branch("2.5", "2.5"),
            ],
            engine: EngineSettings::default(),
            retention: RetentionSettings::default(),
            network: NetworkSettings::default(),
            registry: RegistrySettings::default(),
            recipes: RecipesSettings::default(),
            owners: OwnersSettings::default(),
            limits: Limits::default(),
            build: BuildLimits::default(),
            verdicts: VerdictSettings::default(),
            trust: TrustSettings::default(),
            host: HostSettings::default(),
        }
    }
}

impl Settings {
    /// Checks that the values are consistent.
    pub(super) fn sane(&self) -> Result<(), SettingsError> {
        branch::sane(&self.branch).map_err(SettingsError::Nonsense)?;
        self.registry.sane().map_err(SettingsError::Nonsense)?;
        for branch in &self.branch {
            self.source.holds(branch).map_err(SettingsError::Nonsense)?;
        }
        if self.branch.is_empty() {
            return Err(SettingsError::Nonsense(
                "no branch is watched; add a `[[branch]]` with `name` and `ref`".to_owned(),
            ));
        }
        if self.slots == 0 {
            return Err(SettingsError::Nonsense("`slots` must be at least 1".to_owned()));
        }
        self.recipes.sane().map_err(SettingsError::Nonsense)?;
        if !self.recipes.git.is_empty() && self.projects_folder().is_some() {
            return Err(SettingsError::Nonsense(
                "`projects` and `recipes.git` are both set; recipes come from one of them, so remove the other"
                    .to_owned(),
            ));
        }
        self.trust.sane().map_err(SettingsError::Nonsense)?;
        self.http.sane().map_err(SettingsError::Nonsense)?;
        self.oidc.sane(&self.http.url).map_err(SettingsError::Nonsense)?;
        self.engine.sane().map_err(SettingsError::Nonsense)?;
        self.network.sane().map_err(SettingsError::Nonsense)?;
        self.host.sane().map_err(SettingsError::Nonsense)?;
        self.source.sane().map_err(SettingsError::Nonsense)
    }

    /// Returns the variants of a branch. A branch that is no longer watched has the default variant.
    pub fn variants(&self, branch: &str) -> Vec<String> {
        let settings = self.branch.iter().find(|settings| settings.name == branch);
        settings.map_or_else(branch::default_variant, |settings| settings.variants.clone())
    }

    /// Returns the folder of recipes that the settings name, or `None`. Without `recipes.git`, `None` means the
    /// built-in recipes.
    pub fn projects_folder(&self) -> Option<&Path> {
        (!self.projects.as_os_str().is_empty()).then_some(&self.projects)
    }

    /// Returns the folder of build profiles, or `None` for the built-in ones.
    pub fn images_folder(&self) -> Option<&Path> {
        (!self.images.as_os_str().is_empty()).then_some(&self.images)
    }

    /// Returns the URL of the database: an SQLite file in `data` unless `database` is set.
    pub fn database_url(&self) -> Address {
        match self.database.is_empty() {
            true => format!("sqlite://{}?mode=rwc", self.data.join("pybots.sqlite").display()).into(),
            false => self.database.clone(),
        }
    }

    /// Checks that every variant has a build profile.
    pub fn buildable(&self, profiles: &Profiles) -> Result<(), SettingsError> {
        for branch in &self.branch {
            for variant in &branch.variants {
                profiles
                    .knows_variant(variant)
                    .map_err(|reason| SettingsError::Nonsense(format!("branch {:?}: {reason}", branch.name)))?;
            }
        }
        Ok(())
    }

    /// Drops the default git repository and its default branches if only a Subversion repository was set. `by_default`
    /// returns whether a key has its default.
    pub(super) fn drop_default_git(&mut self, by_default: impl Fn(&str) -> bool) {
        if self.source.svn.is_empty() || !by_default("source.git") {
            return;
        }
        self.source.git = Address::default();
        if by_default("branch") {
            self.branch = vec![
                BranchSettings::new("trunk", "trunk"),
                BranchSettings::new("2.5", "branches/release25-maint"),
            ];
        }
    }

    /// Returns the logins in all addresses, and the secrets that files hold now: the registry's password, and the client's
    /// secret at the identity provider. A file that can't be read is left out here, because its user reports it.
    pub fn secrets(&self) -> Secrets {
        let NetworkSettings {
            http_proxy,
            https_proxy,
            index,
            ..
        } = &self.network;
        let addresses = [
            &self.database,
            &self.source.git,
            &self.source.svn,
            &self.recipes.git,
            http_proxy,
            https_proxy,
            index,
        ];
        let logins = [
            (&self.registry.user, &self.registry.password_file),
            (&self.oidc.client_id, &self.oidc.client_secret_file),
        ];
        logins
            .into_iter()
            .fold(Secrets::of(addresses), |secrets, (user, file)| match secret_in(file) {
                Some(password) => secrets.with_login(user, &password),
                None => secrets,
            })
    }

    /// Returns which projects are maintained under these settings, when probation ends, and who owns which projects.
    /// All projects are maintained if the recipes are the built-in ones.
    pub fn trust(&self) -> Trust {
        self.trust
            .trust(self.projects_folder().is_none() && self.recipes.git.is_empty())
    }

    /// Returns the retention policy of these settings.
    pub fn policy(&self) -> Policy {
        let RetentionSettings {
            days,
            key_frames,
            key_frame_days,
            min_free_gib,
            ..
        } = self.retention;
        let own = self
            .branch
            .iter()
            .filter_map(|branch| Some((branch.name.clone(), branch.keep_days?)));
        Policy {
            days,
            branch_days: own.collect(),
            key_frames,
            key_frame_days,
            min_free: min_free_gib.saturating_mul(1 << 30),
        }
    }
}

/// The most bytes of a file that holds one secret.
const SECRET_MOST: u64 = 64 << 10;

/// Returns the secret in a file, without white space around it. Returns `None` if the file can't be read or is no short
/// text.
fn secret_in(file: &Path) -> Option<String> {
    let mut text = String::new();
    let opened = File::open(file).ok()?;
    opened.take(SECRET_MOST).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}
