//! The catalogue and the roles' table, against the specification and the golden listing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Write as _,
};

use super::super::{
    built_in::{COLUMNS, TABLE, parse_cell},
    *,
};

/// A cell read the slow way, for comparison with what the compiler read.
fn read_cell(actions: &[&str], cell: &str) -> BTreeMap<String, Scope> {
    let mut given = BTreeMap::new();
    for word in cell.split_whitespace().filter(|word| *word != "-") {
        let (word, scope) = match word.strip_suffix('@') {
            Some(word) => (word, Scope::Own),
            None => (word, Scope::Any),
        };
        let named: Vec<&str> = if word == "all" {
            actions.to_vec()
        } else if actions.contains(&word) {
            vec![word]
        } else {
            let long = |letter| match letter {
                'C' => "create",
                'R' => "read",
                'U' => "update",
                'D' => "delete",
                other => panic!("{other} in {cell}"),
            };
            word.chars().map(long).collect()
        };
        for action in named {
            assert!(actions.contains(&action), "{action} of {cell} is not in {actions:?}");
            assert!(given.insert(action.to_owned(), scope).is_none(), "{action} twice in {cell}");
        }
    }
    given
}

/// What a role grants on a resource, from the built table.
fn granted(role: BuiltInRole, resource: &str) -> BTreeMap<String, Scope> {
    let grants = role.grants().iter().filter(|grant| grant.permission.resource() == resource);
    grants.map(|grant| (grant.permission.action().to_owned(), grant.scope)).collect()
}

#[test]
fn there_are_205_permissions_on_54_resources_and_five_of_the_platform() {
    let (system, business): (Vec<_>, Vec<_>) = Permission::all().partition(|p| p.is_system());
    assert_eq!(business.len(), 205);
    assert_eq!(business.iter().map(|p| p.resource()).collect::<BTreeSet<_>>().len(), 54);
    let system: Vec<_> = system.into_iter().map(Permission::name).collect();
    assert_eq!(system, ["system.settings", "system.workspaces", "system.users", "system.audit", "system.projections"]);
    assert_eq!(Permission::all().map(Permission::name).collect::<BTreeSet<_>>().len(), 210);
}

#[test]
fn every_name_is_short_lower_case_and_made_of_resource_and_action() {
    let is_plain =
        |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    for permission in Permission::all() {
        let (resource, action) = (permission.resource(), permission.action());
        assert_eq!(permission.name(), format!("{resource}.{action}"));
        assert!(permission.name().len() <= 100 && resource.len() <= 50 && action.len() <= 20);
        assert!(is_plain(resource) && is_plain(action), "{permission}");
    }
}

#[test]
fn a_constant_stands_for_the_permission_it_is_named_after() {
    assert_eq!(PIPELINE_ITEMS_MOVE.name(), "pipeline_items.move");
    assert_eq!(catalogue::CONSTANTS.len(), Permission::COUNT);
    for (permission, constant) in Permission::all().zip(catalogue::CONSTANTS) {
        assert_eq!(permission.name().replace('.', "_").to_uppercase(), *constant);
    }
}

#[test]
fn the_compiler_read_every_cell_as_the_slow_reader_does() {
    let mut resources = BTreeSet::new();
    for (names, actions, cells) in TABLE {
        let actions: Vec<&str> = actions.split(' ').collect();
        for resource in names.split(", ") {
            assert!(resources.insert(resource), "{resource} has two rows");
            for (role, cell) in COLUMNS.into_iter().zip(cells) {
                let expected = read_cell(&actions, cell);
                assert_eq!(granted(role, resource), expected, "{role} on {resource}: {cell}");
            }
        }
    }
    assert_eq!(resources.len(), 54);
}

#[test]
fn the_table_is_the_specifications() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/spec/roles.md");
    let Ok(text) = fs::read_to_string(path) else {
        // Not `eprintln!`, which a passing test keeps to itself.
        let skipped = format!("SKIPPED: the specification is not beside the repository ({path})\n");
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    };
    let mut lines = text.lines().skip_while(|line| !line.starts_with("| resource: actions |"));
    let split = |line: &str| -> Vec<String> { line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let header = split(lines.next().expect("the specification has the table"));
    let keys: Vec<&str> = COLUMNS.into_iter().map(BuiltInRole::key).collect();
    assert_eq!(header[1..], keys);
    let rows: Vec<_> = lines.skip(1).take_while(|line| line.starts_with('|')).map(split).collect();
    assert_eq!(rows.len(), TABLE.len());
    for (row, (resources, actions, cells)) in rows.iter().zip(TABLE) {
        assert_eq!(row[0], format!("{resources}: {actions}"));
        assert_eq!(row[1..], *cells, "{resources}");
    }
}

#[test]
fn a_cell_that_makes_no_sense_is_refused() {
    for cell in ["", " ", "X", "CX", "publish", "D", "R R@", "all R", "@", "read update update"] {
        assert!(parse_cell("create read update", cell).is_err(), "{cell:?}");
    }
    let cell = parse_cell("create read update close", "CR@ close").expect("a sound cell");
    assert_eq!(cell[..4], [Some(Scope::Own), Some(Scope::Own), None, Some(Scope::Any)]);
}

#[test]
fn an_owner_has_all_and_an_admin_all_but_three() {
    let owner = BuiltInRole::Owner.grants();
    assert_eq!(owner.len(), 205);
    assert!(Permission::all().all(|p| owner.allows_any(p) != p.is_system()));
    let missing: Vec<_> = owner.iter().filter(|g| !BuiltInRole::Admin.grants().contains(*g)).collect();
    assert_eq!(missing, [BILLING_MANAGE, WORKSPACE_DELETE, WORKSPACE_TRANSFER].map(|p| p.any()));
}

#[test]
fn a_viewer_writes_nothing_and_no_role_exceeds_the_owners() {
    let viewer = BuiltInRole::Viewer.grants();
    assert_eq!(viewer.read_only(), *viewer);
    for role in BuiltInRole::ALL {
        assert!(role.grants().is_subset_of(BuiltInRole::Owner.grants()), "{role}");
    }
}

#[test]
fn a_member_moves_own_items_only() {
    let member = BuiltInRole::Member.grants();
    assert!(member.allows(PIPELINE_ITEMS_MOVE, true) && !member.allows(PIPELINE_ITEMS_MOVE, false));
    assert!(member.allows_any(PIPELINE_ITEMS_CREATE));
    assert_eq!(member.scope(PIPELINE_ITEMS_DELETE), None);
}

#[test]
fn the_platforms_role_gives_the_five_and_no_business() {
    assert!(PlatformRole::None.grants().is_empty());
    let given: Vec<_> = PlatformRole::SystemAdmin.grants().iter().map(|g| g.permission).collect();
    let mut system: Vec<_> = Permission::all().filter(|p| p.is_system()).collect();
    system.sort();
    assert_eq!(given, system);
    assert_eq!(serde_json::to_string(&PlatformRole::SystemAdmin).unwrap(), "\"SYSTEM_ADMIN\"");
}

/// `fixtures/roles.txt`: people read what each role may do there, and a change shows in review.
fn listing() -> String {
    let mut text = format!(
        "# Catalogue version {CATALOGUE_VERSION}: what each built-in role may do.\n\
         # any: every record; own: own records only; -: nothing.\n\
         # Made by `UPDATE_GOLDEN=1 cargo test -p domain roles`, after raising CATALOGUE_VERSION.\n\n"
    );
    write!(text, "{:34}", "permission").unwrap();
    BuiltInRole::ALL.iter().for_each(|role| write!(text, "{role:9}").unwrap());
    text.push_str("system_admin\n");
    let sets = BuiltInRole::ALL.iter().map(|role| role.grants());
    let sets: Vec<_> = sets.chain([PlatformRole::SystemAdmin.grants()]).collect();
    for permission in Permission::all() {
        write!(text, "{permission:34}").unwrap();
        for set in &sets {
            write!(text, "{:9}", set.scope(permission).map_or("-", Scope::name)).unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[test]
fn a_change_of_the_catalogue_comes_with_a_new_version_and_listing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/roles.txt");
    let committed = fs::read_to_string(path);
    let current = listing();
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        if let Ok(committed) = committed {
            let same_version = committed.lines().next() == current.lines().next();
            assert!(!same_version || committed == current, "the roles changed under the same version: raise CATALOGUE_VERSION first");
        }
        fs::write(path, current).expect("fixtures/roles.txt can be written");
        return;
    }
    let committed = committed.expect("fixtures/roles.txt is there: UPDATE_GOLDEN=1 makes it");
    let change = committed.lines().zip(current.lines()).find(|(old, new)| old != new);
    assert!(
        committed == current,
        "roles and fixtures/roles.txt differ, first at (committed, now) {change:?}: \
         raise CATALOGUE_VERSION and run again with UPDATE_GOLDEN=1"
    );
}
