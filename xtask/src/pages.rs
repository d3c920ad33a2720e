//! The recovery pages in a real browser: `browser-tests` walks them in a Chromium without a screen.
//!
//! Besides Node.js it needs Debian's Chromium. Nothing else is fetched, and the browser asks nobody but the server.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::node::{Server, Walker};
use crate::tool::{Packages, Tool};
use crate::{Result, root};

/// Its name among the tests.
pub(crate) const TEST: &str = "recovery_pages";

static CHROMIUM: Tool = Tool {
    name: "Chromium",
    packages: Packages::Debian(&["chromium", "fonts-roboto-unhinted"]),
    programs: &["chromium"],
    folders: Vec::new,
};

/// Makes the pictures smaller; without it they stay as the browser made them.
static OPTIPNG: Tool =
    Tool { name: "optipng", packages: Packages::Debian(&["optipng"]), programs: &["optipng"], folders: Vec::new };

/// The pictures of the documentation: chapter and page of the walk, and the name they get.
const PICTURES: [(&str, &str); 7] = [
    ("brand-start", "recovery-brand"),
    ("desktop-light-1-start", "recovery-start"),
    ("desktop-light-2-code", "recovery-code"),
    ("desktop-light-3-password-typed", "recovery-password"),
    ("desktop-dark-3-password-typed", "recovery-password-dark"),
    ("phone-light-2-code-wrong", "recovery-phone-wrong"),
    ("phone-dark-4-done", "recovery-phone-done-dark"),
];

/// What the walk needs of its server. It begins and tries more than one visitor may, and does not want to wait for mail.
/// Besides the project `demo` there is one with a logo, whose visitors may ask for very few codes, and one whose codes go by
/// SMS alone.
const SETTINGS: &[(&str, &str)] = &[
    ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__INITIATIONS", "10000"),
    ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__ATTEMPTS", "10000"),
    ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__IP__CHANGES", "10000"),
    ("KEYHERALD__PROJECTS__0__PAYSAFE__LIMITS__CUSTOMER__CHANGES", "10000"),
    ("KEYHERALD__PROJECTS__0__PAYSAFE__OTP__RESEND_INTERVAL", "1s"),
    ("KEYHERALD__PROJECTS__0__RECOVERY__RETURN_URLS__0", "https://shop.example/login"),
    ("KEYHERALD__PROJECTS__1__KEY", "tea"),
    ("KEYHERALD__PROJECTS__1__NAME", "Marlow & Finch"),
    ("KEYHERALD__PROJECTS__1__MAIL__SEND__0", "verification_code"),
    ("KEYHERALD__PROJECTS__1__RECOVERY__COLOUR", "#0b6b50"),
    ("KEYHERALD__PROJECTS__1__RECOVERY__LIMITS__IP__INITIATIONS", "2"),
    ("KEYHERALD__PROJECTS__1__RECOVERY__LIMITS__IP__PER", "1h"),
    ("KEYHERALD__PROJECTS__1__RECOVERY__LOGO_FILE", "browser-tests/logo.svg"),
    ("KEYHERALD__PROJECTS__1__RECOVERY__LOGO_DARK_FILE", "browser-tests/logo-dark.svg"),
    ("KEYHERALD__PROJECTS__2__KEY", "pocket"),
    ("KEYHERALD__PROJECTS__2__NAME", "Pocket"),
    ("KEYHERALD__PROJECTS__2__SMS__SEND__0", "verification_code"),
    ("KEYHERALD__PROJECTS__2__RECOVERY__ENABLED", "true"),
];

/// Arguments of `cargo xtask pages`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install what is missing (Debian, as root, and npm).
    #[arg(long)]
    install: bool,
    /// Write the documentation's pictures, docs/images/recovery-*.png.
    #[arg(long)]
    screenshots: bool,
    /// Only these chapters of the walk.
    #[arg(long, value_name = "NAME,..")]
    only: Option<String>,
}

/// The browser, ready to walk.
pub(crate) struct Browser {
    walker: Walker,
    chromium: PathBuf,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let browser = Browser::ready(options.install)?;
    let only = options.only.iter().flat_map(|names| ["--only".to_owned(), names.clone()]).collect();
    if !options.screenshots {
        browser.walk(only)?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = tempfile::Builder::new().prefix("keyherald-pictures-").tempdir()?;
    let shots = ["--screenshots".to_owned(), folder.path().display().to_string()];
    browser.walk([only, shots.to_vec()].concat())?;
    keep_pictures(folder.path(), options.install)?;
    Ok(ExitCode::SUCCESS)
}

impl Browser {
    /// Finds what it needs, and installs it when `install` says so.
    pub(crate) fn ready(install: bool) -> Result<Self> {
        let chromium = CHROMIUM.folder(install)?.join("chromium");
        Ok(Self { walker: Walker::ready("browser-tests", install)?, chromium })
    }

    /// Walks, and returns the closing line. An error if a page is not as it must be; the walk has said which.
    pub(crate) fn walk(&self, mut args: Vec<String>) -> Result<String> {
        let server = Server::start(SETTINGS)?;
        args.extend(["--chromium".to_owned(), self.chromium.display().to_string()]);
        self.walker.walk("walk.js", &args, &server, "Recovery pages: ")
    }
}

/// Puts the pictures that the documentation shows where it looks for them, as small as they get without loss.
fn keep_pictures(taken: &Path, install: bool) -> Result<()> {
    let images = root().join("docs/images");
    std::fs::create_dir_all(&images)?;
    let optipng = OPTIPNG.folder(install).map(|folder| folder.join("optipng"));
    for (page, name) in PICTURES {
        let (from, to) = (taken.join(format!("{page}.png")), images.join(format!("{name}.png")));
        if !from.is_file() {
            continue; // its chapter was left out
        }
        std::fs::copy(&from, &to)?;
        if let Ok(optipng) = &optipng {
            let status = Command::new(optipng)
                .args(["-quiet", "-o4", "-strip", "all"])
                .arg(&to)
                .stdin(Stdio::null())
                .status()?;
            if !status.success() {
                return Err(format!("optipng {} failed: {status}", to.display()).into());
            }
        }
        println!("wrote docs/images/{name}.png");
    }
    Ok(())
}
