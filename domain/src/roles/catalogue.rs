//! The permission catalogue: every permission there is, in the order in which people read it.
//! A change of this table, or of the roles' table, is a new `CATALOGUE_VERSION`.

use super::Permission;

/// The version of the catalogue and of the built-in roles. Each event names the one it was
/// authorised under, so any change of either table raises it.
pub const CATALOGUE_VERSION: u32 = 1;

/// One permission's words.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) resource: &'static str,
    pub(super) action: &'static str,
}

/// Each row is a resource with its actions and the constant that stands for each; constants are
/// written out, so that a search for one finds its line here.
macro_rules! catalogue {
    ($($resource:ident { $($action:ident: $constant:ident),+ $(,)? })+) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($($constant,)+)+ }

        pub(super) const ENTRIES: &[Entry] = &[$($(Entry {
            name: concat!(stringify!($resource), ".", stringify!($action)),
            resource: stringify!($resource),
            action: stringify!($action),
        },)+)+];

        #[cfg(test)]
        pub(super) const CONSTANTS: &[&str] = &[$($(stringify!($constant),)+)+];

        $($(
            #[doc = concat!("The permission `", stringify!($resource), ".", stringify!($action), "`.")]
            pub const $constant: Permission = Permission(Index::$constant as u16);
        )+)+
    };
}

catalogue! {
    users { create: USERS_CREATE, read: USERS_READ, update: USERS_UPDATE, delete: USERS_DELETE }
    workspace {
        read: WORKSPACE_READ, update: WORKSPACE_UPDATE, delete: WORKSPACE_DELETE,
        transfer: WORKSPACE_TRANSFER,
    }
    workspace_keys { read: WORKSPACE_KEYS_READ, update: WORKSPACE_KEYS_UPDATE }
    members {
        read: MEMBERS_READ, invite: MEMBERS_INVITE, update: MEMBERS_UPDATE, remove: MEMBERS_REMOVE,
    }
    roles {
        read: ROLES_READ, create: ROLES_CREATE, update: ROLES_UPDATE, delete: ROLES_DELETE,
        assign: ROLES_ASSIGN,
    }
    billing { view: BILLING_VIEW, manage: BILLING_MANAGE }
    usage { read: USAGE_READ }
    pipelines {
        create: PIPELINES_CREATE, read: PIPELINES_READ, update: PIPELINES_UPDATE,
        delete: PIPELINES_DELETE,
    }
    pipeline_items {
        create: PIPELINE_ITEMS_CREATE, read: PIPELINE_ITEMS_READ, update: PIPELINE_ITEMS_UPDATE,
        delete: PIPELINE_ITEMS_DELETE, move: PIPELINE_ITEMS_MOVE, assign: PIPELINE_ITEMS_ASSIGN,
    }
    tasks {
        create: TASKS_CREATE, read: TASKS_READ, update: TASKS_UPDATE, delete: TASKS_DELETE,
        assign: TASKS_ASSIGN, review: TASKS_REVIEW,
    }
    task_templates {
        create: TASK_TEMPLATES_CREATE, read: TASK_TEMPLATES_READ, update: TASK_TEMPLATES_UPDATE,
        delete: TASK_TEMPLATES_DELETE,
    }
    intake {
        create: INTAKE_CREATE, read: INTAKE_READ, update: INTAKE_UPDATE, route: INTAKE_ROUTE,
        close: INTAKE_CLOSE, delete: INTAKE_DELETE,
    }
    documents {
        create: DOCUMENTS_CREATE, read: DOCUMENTS_READ, update: DOCUMENTS_UPDATE,
        delete: DOCUMENTS_DELETE, share: DOCUMENTS_SHARE, process: DOCUMENTS_PROCESS,
    }
    document_chats {
        create: DOCUMENT_CHATS_CREATE, read: DOCUMENT_CHATS_READ, delete: DOCUMENT_CHATS_DELETE,
    }
    agents {
        create: AGENTS_CREATE, read: AGENTS_READ, update: AGENTS_UPDATE, delete: AGENTS_DELETE,
        activate: AGENTS_ACTIVATE, execute: AGENTS_EXECUTE,
    }
    agent_executions { read: AGENT_EXECUTIONS_READ, cancel: AGENT_EXECUTIONS_CANCEL }
    agent_decisions { read: AGENT_DECISIONS_READ, review: AGENT_DECISIONS_REVIEW }
    automations {
        create: AUTOMATIONS_CREATE, read: AUTOMATIONS_READ, update: AUTOMATIONS_UPDATE,
        delete: AUTOMATIONS_DELETE, activate: AUTOMATIONS_ACTIVATE, run: AUTOMATIONS_RUN,
    }
    workflow_executions { read: WORKFLOW_EXECUTIONS_READ, cancel: WORKFLOW_EXECUTIONS_CANCEL }
    automation_templates {
        create: AUTOMATION_TEMPLATES_CREATE, read: AUTOMATION_TEMPLATES_READ,
        update: AUTOMATION_TEMPLATES_UPDATE, delete: AUTOMATION_TEMPLATES_DELETE,
        publish: AUTOMATION_TEMPLATES_PUBLISH, install: AUTOMATION_TEMPLATES_INSTALL,
        rate: AUTOMATION_TEMPLATES_RATE,
    }
    credentials {
        create: CREDENTIALS_CREATE, read: CREDENTIALS_READ, update: CREDENTIALS_UPDATE,
        delete: CREDENTIALS_DELETE,
    }
    calendar {
        create: CALENDAR_CREATE, read: CALENDAR_READ, update: CALENDAR_UPDATE,
        cancel: CALENDAR_CANCEL,
    }
    scheduling_tasks {
        create: SCHEDULING_TASKS_CREATE, read: SCHEDULING_TASKS_READ,
        update: SCHEDULING_TASKS_UPDATE,
    }
    availability { read: AVAILABILITY_READ, update: AVAILABILITY_UPDATE }
    calendar_connections {
        create: CALENDAR_CONNECTIONS_CREATE, read: CALENDAR_CONNECTIONS_READ,
        delete: CALENDAR_CONNECTIONS_DELETE,
    }
    bookings {
        create: BOOKINGS_CREATE, read: BOOKINGS_READ, update: BOOKINGS_UPDATE,
        cancel: BOOKINGS_CANCEL, assign: BOOKINGS_ASSIGN,
    }
    booking_setup { read: BOOKING_SETUP_READ, update: BOOKING_SETUP_UPDATE }
    consultations {
        create: CONSULTATIONS_CREATE, read: CONSULTATIONS_READ, update: CONSULTATIONS_UPDATE,
        cancel: CONSULTATIONS_CANCEL,
    }
    revenue_audits {
        create: REVENUE_AUDITS_CREATE, read: REVENUE_AUDITS_READ, update: REVENUE_AUDITS_UPDATE,
    }
    follow_ups { create: FOLLOW_UPS_CREATE, read: FOLLOW_UPS_READ, update: FOLLOW_UPS_UPDATE }
    companies {
        create: COMPANIES_CREATE, read: COMPANIES_READ, update: COMPANIES_UPDATE,
        delete: COMPANIES_DELETE,
    }
    contacts {
        create: CONTACTS_CREATE, read: CONTACTS_READ, update: CONTACTS_UPDATE,
        delete: CONTACTS_DELETE,
    }
    engagements {
        create: ENGAGEMENTS_CREATE, read: ENGAGEMENTS_READ, update: ENGAGEMENTS_UPDATE,
        close: ENGAGEMENTS_CLOSE, delete: ENGAGEMENTS_DELETE,
    }
    milestones {
        create: MILESTONES_CREATE, update: MILESTONES_UPDATE, complete: MILESTONES_COMPLETE,
        invoice: MILESTONES_INVOICE,
    }
    access_requests {
        create: ACCESS_REQUESTS_CREATE, read: ACCESS_REQUESTS_READ, decide: ACCESS_REQUESTS_DECIDE,
    }
    catalog {
        create: CATALOG_CREATE, read: CATALOG_READ, update: CATALOG_UPDATE,
        publish: CATALOG_PUBLISH, delete: CATALOG_DELETE, stock: CATALOG_STOCK,
    }
    taxonomy {
        create: TAXONOMY_CREATE, read: TAXONOMY_READ, update: TAXONOMY_UPDATE,
        delete: TAXONOMY_DELETE,
    }
    orders {
        create: ORDERS_CREATE, read: ORDERS_READ, update: ORDERS_UPDATE, fulfill: ORDERS_FULFILL,
        refund: ORDERS_REFUND, cancel: ORDERS_CANCEL,
    }
    wishlist { read: WISHLIST_READ, update: WISHLIST_UPDATE }
    posts {
        create: POSTS_CREATE, read: POSTS_READ, update: POSTS_UPDATE, publish: POSTS_PUBLISH,
        delete: POSTS_DELETE,
    }
    comments {
        create: COMMENTS_CREATE, read: COMMENTS_READ, update: COMMENTS_UPDATE,
        delete: COMMENTS_DELETE, moderate: COMMENTS_MODERATE,
    }
    likes { create: LIKES_CREATE }
    testimonials {
        create: TESTIMONIALS_CREATE, read: TESTIMONIALS_READ, update: TESTIMONIALS_UPDATE,
        publish: TESTIMONIALS_PUBLISH, delete: TESTIMONIALS_DELETE,
    }
    subscribers {
        create: SUBSCRIBERS_CREATE, read: SUBSCRIBERS_READ, update: SUBSCRIBERS_UPDATE,
        delete: SUBSCRIBERS_DELETE, export: SUBSCRIBERS_EXPORT,
    }
    newsletter_templates {
        create: NEWSLETTER_TEMPLATES_CREATE, read: NEWSLETTER_TEMPLATES_READ,
        update: NEWSLETTER_TEMPLATES_UPDATE, delete: NEWSLETTER_TEMPLATES_DELETE,
    }
    campaigns {
        create: CAMPAIGNS_CREATE, read: CAMPAIGNS_READ, update: CAMPAIGNS_UPDATE,
        send: CAMPAIGNS_SEND, delete: CAMPAIGNS_DELETE,
    }
    contact_forms {
        read: CONTACT_FORMS_READ, update: CONTACT_FORMS_UPDATE, delete: CONTACT_FORMS_DELETE,
    }
    client_calls {
        create: CLIENT_CALLS_CREATE, read: CLIENT_CALLS_READ, update: CLIENT_CALLS_UPDATE,
        cancel: CLIENT_CALLS_CANCEL,
    }
    reports { create: REPORTS_CREATE, read: REPORTS_READ, delete: REPORTS_DELETE }
    audit { read: AUDIT_READ, export: AUDIT_EXPORT }
    incidents { read: INCIDENTS_READ, manage: INCIDENTS_MANAGE }
    api_keys { create: API_KEYS_CREATE, read: API_KEYS_READ, delete: API_KEYS_DELETE }
    event_streams { read: EVENT_STREAMS_READ, manage: EVENT_STREAMS_MANAGE }
    notifications {
        create: NOTIFICATIONS_CREATE, read: NOTIFICATIONS_READ, retry: NOTIFICATIONS_RETRY,
    }
    system {
        settings: SYSTEM_SETTINGS, workspaces: SYSTEM_WORKSPACES, users: SYSTEM_USERS,
        audit: SYSTEM_AUDIT, projections: SYSTEM_PROJECTIONS,
    }
}
