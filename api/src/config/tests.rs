//! Tests of the settings.

use super::*;
use clap::{CommandFactory, FromArgMatches};

/// The settings of a file and flags, whatever the environment of the test is.
fn parsed(file: &str, flags: &[&str]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("annals.toml");
    std::fs::write(&path, file).unwrap();
    let command = Only::command().mut_args(without_environment);
    let command = with_file(command, &path).map_err(|error| error.to_string())?;
    let matches = command.try_get_matches_from(["annals"].iter().chain(flags)).map_err(|error| explain(error).to_string())?;
    Ok(Only::from_arg_matches(&matches).unwrap().config)
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let config = parsed("listen = \"127.0.0.1:1\"\napi_connections = 3\nlog_format = \"json\"", &["--listen", "localhost:2"]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:2".parse().unwrap());
    assert_eq!((config.api_connections, config.loader_connections), (3, 8));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.shutdown_grace(), Duration::from_secs(30));
}

#[test]
fn a_name_that_no_setting_has_is_an_error_that_names_the_nearest() {
    let error = parsed("lisen = \"127.0.0.1:1\"", &[]).unwrap_err();
    assert!(error.contains("no setting lisen; did you mean listen?") && error.contains("annals.toml"), "{error}");
    let error = parsed("[database]\nurl = \"x\"", &[]).unwrap_err();
    assert!(error.contains("database"), "{error}");
    let error = check_environment(["PATH", "ANNALS_PG_BIN", "ANNALS_LISTN"].map(OsString::from)).unwrap_err().to_string();
    assert!(error.contains("ANNALS_LISTN; did you mean ANNALS_LISTEN?"), "{error}");
    let error = check_environment([OsString::from("ANNALS_QQQ")]).unwrap_err().to_string();
    assert!(error.contains("ANNALS_QQQ; `annals --help`"), "{error}");
    assert!(check_environment(settings().into_iter().map(|setting| setting.variable.into())).is_ok());
}

#[test]
fn a_bad_value_is_answered_with_its_setting_and_the_rule() {
    let error = parsed("append_groups = 0", &[]).unwrap_err();
    assert!(error.contains("append_groups: \"0\": must be a whole number from 1 to 64"), "{error}");
    let error = parsed("log_format = \"xml\"", &[]).unwrap_err();
    assert!(error.contains("log_format") && error.contains("auto, human, json"), "{error}");
    let error = parsed("listen = true", &[]).unwrap_err();
    assert!(error.contains("listen: must be a text"), "{error}");
    let error = parsed("", &["--listen", "here"]).unwrap_err();
    assert!(error.contains("--listen") && error.contains("IP address and a port") && error.contains("ANNALS_LISTEN"), "{error}");
    let error = parsed("", &["--log-filter", "a=b=c"]).unwrap_err();
    assert!(error.contains("levels by module"), "{error}");
}

#[test]
fn a_broken_file_is_answered_with_its_line_and_without_its_text() {
    let error = parsed("listen = \"127.0.0.1:1\"\ndatabase_url = \"postgres://o:hunter2@h/d\n", &[]).unwrap_err();
    assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_password_is_never_shown() {
    let config = parsed("database_url = \"postgres://owner:hunter2@db:5433/annals\"", &[]).unwrap();
    assert_eq!(config.database_url().unwrap().to_string(), "postgres://owner@db:5433/annals");
    assert!(!format!("{config:?}").contains("hunter2"));
    let bad: DatabaseUrl = "mysql://owner:hunter2@db/annals".parse().unwrap();
    assert!(!bad.options().unwrap_err().to_string().contains("hunter2"));
    assert!(!format!("{bad:?}").contains("hunter2"));
    let mut help = with_help("database_url = \"postgres://owner:hunter2@db/annals\"");
    assert!(!help.render_long_help().to_string().contains("hunter2"));
}

fn with_help(file: &str) -> Command {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("annals.toml");
    std::fs::write(&path, file).unwrap();
    with_file(Only::command(), &path).unwrap()
}

#[test]
fn an_empty_database_url_is_none() {
    assert!(parsed("", &["--database-url", ""]).unwrap().database_url().is_none());
    assert!(parsed("", &[]).unwrap().database_url().is_none());
}

#[test]
fn the_file_is_the_one_that_is_named_last() {
    let arguments = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(file(&arguments(&["annals", "--config", "a"]), Some("b".into())), path("a"));
    assert_eq!(file(&arguments(&["annals", "serve", "--config=c"]), None), path("c"));
    assert_eq!(file(&arguments(&["annals"]), Some("b".into())), path("b"));
    assert_eq!(file(&arguments(&["annals", "--", "--config=c"]), None), None);
}

#[test]
fn every_setting_is_a_flag_a_variable_and_a_key_of_one_name_and_the_documentation_names_it() {
    let page = include_str!("../../../docs/operating.md");
    for Setting { key, variable, default } in settings() {
        if key != "database_url" {
            assert_eq!(variable, format!("{PREFIX}{}", key.to_uppercase()));
        }
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/operating.md has no row for {key}"));
        assert!(row.contains(&format!("`--{}`", key.replace('_', "-"))) && row.contains(&format!("`{variable}`")), "{row}");
        if let Some(default) = default {
            assert!(row.contains(&format!("| `{default}` |")), "{row} should give the default {default}");
        }
    }
}
