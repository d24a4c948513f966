// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One of the two sides: a folder as it is, or a revision.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use irqbed_machine::{
    artefacts::Artefacts,
    host::program::{self, ProgramError},
};

use super::AbError;

/// Sources of irqbed have this.
pub(super) const MARK: &str = "images/setup.sh";
/// Hexadecimal digits that name a revision well enough for a person.
const SHORT: usize = 12;

fn has_sources(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

/// Where sources are looked for, and where revisions are built.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The sources we stand in.
    tree: PathBuf,
    /// What was fetched and built for the program that runs.
    pub(super) store: PathBuf,
}

/// One side.
#[derive(Debug, Clone)]
pub struct Side {
    /// `base` or `new`.
    name: &'static str,
    state: State,
    root: PathBuf,
    arguments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// A folder, whatever is in it.
    Folder,
    /// A revision, by the full name of its commit, from a repository.
    Revision { commit: String, repository: PathBuf },
}

impl Sources {
    /// Those we stand in, else those of the program that runs.
    ///
    /// # Errors
    /// Where there is no `.irqbed`.
    pub fn find(artefacts: &Artefacts) -> Result<Self, AbError> {
        let here = env::current_dir().map_err(AbError::io("there is no folder to stand in"))?;
        let store = artefacts.folder.clone();
        let own = store.parent().unwrap_or(Path::new("."));
        let tree = here.ancestors().find(|folder| has_sources(folder));
        Ok(Self {
            tree: tree.unwrap_or(own).to_owned(),
            store,
        })
    }

    /// A side by what the user calls it: a folder, or a revision of the
    /// repository we stand in; the sources we stand in for `None`. More
    /// arguments are for its bench alone.
    ///
    /// # Errors
    /// [`AbError`] says what it is instead.
    pub fn side(
        &self,
        name: &'static str,
        given: Option<&str>,
        arguments: &[String],
    ) -> Result<Side, AbError> {
        let (state, root) = match given {
            None => self.folder(&self.tree)?,
            Some(given) if has_sources(Path::new(given)) => self.folder(Path::new(given))?,
            Some(given) => match self.commit(given) {
                Ok(commit) => self.revision(given, commit)?,
                Err(_) if Path::new(given).is_dir() => {
                    return Err(AbError::NoSources(given.into()));
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Side {
            name,
            state,
            root,
            arguments: arguments.to_vec(),
        })
    }

    fn folder(&self, folder: &Path) -> Result<(State, PathBuf), AbError> {
        if !has_sources(folder) {
            return Err(AbError::NoSources(folder.to_owned()));
        }
        let root = folder
            .canonicalize()
            .map_err(AbError::io(folder.display().to_string()))?;
        Ok((State::Folder, root))
    }

    fn revision(&self, given: &str, commit: String) -> Result<(State, PathBuf), AbError> {
        if self
            .git(&["cat-file", "-e", &format!("{commit}:{MARK}")])
            .is_err()
        {
            return Err(AbError::EmptyRevision(given.to_owned()));
        }
        let root = self.store.join("ab").join(&commit);
        let repository = self.tree.clone();
        Ok((State::Revision { commit, repository }, root))
    }

    fn commit(&self, given: &str) -> Result<String, AbError> {
        let revision = format!("{given}^{{commit}}");
        let asked = ["rev-parse", "--verify", "--end-of-options", &revision];
        let answer = self.git(&asked).map_err(|error| match error {
            ProgramError::Failed { message, .. } => AbError::Unknown {
                name: given.to_owned(),
                why: format!("git says, {message}"),
            },
            error => error.into(),
        })?;
        Ok(answer.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String, ProgramError> {
        let tree = self.tree.to_string_lossy();
        program::output(Path::new("git"), &[&["-C", &tree], arguments].concat())
    }
}

impl Side {
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The folder it is built in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its own `irqbed`.
    pub(super) fn program(&self) -> PathBuf {
        self.root.join("target/release/irqbed")
    }

    pub(super) fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, .. } = self;
        match &self.state {
            State::Folder => write!(f, "{name} ({})", self.root.display()),
            State::Revision { commit, .. } => {
                write!(f, "{name} ({})", commit.get(..SHORT).unwrap_or(commit))
            }
        }
    }
}
