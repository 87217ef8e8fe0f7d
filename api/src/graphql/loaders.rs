//! Rows for many fields by one query: a kind of key says how keys of its kind are loaded, and the fields of one level
//! of an answer share the load. Whatever the user may not see is not found.

use super::viewer::Viewer;
use crate::error::ApiError;
use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Loads for one request, and for who sends it.
pub(crate) struct Loaders(pub(crate) Arc<Viewer>);

/// A key under which something is loaded together with others of its kind.
pub(crate) trait Key: Copy + Eq + Hash + Send + Sync + 'static {
    /// What is loaded.
    type Value: Clone + Send + Sync + 'static;
    /// Loads what the viewer may see of these.
    fn load(viewer: &Viewer, keys: &[Self]) -> impl Future<Output = Result<HashMap<Self, Self::Value>, ApiError>> + Send;
}

impl<K: Key> Loader<K> for Loaders {
    type Value = K::Value;
    type Error = ApiError;

    async fn load(&self, keys: &[K]) -> Result<HashMap<K, K::Value>, ApiError> {
        K::load(&self.0, keys).await
    }
}

/// What stands under a key.
pub(crate) async fn load<K: Key>(ctx: &Context<'_>, key: K) -> async_graphql::Result<Option<K::Value>> {
    Ok(ctx.data::<DataLoader<Loaders>>()?.load_one(key).await?)
}

/// What stands under several keys.
pub(crate) async fn load_many<K: Key>(ctx: &Context<'_>, keys: impl IntoIterator<Item = K>) -> async_graphql::Result<HashMap<K, K::Value>> {
    Ok(ctx.data::<DataLoader<Loaders>>()?.load_many(keys).await?)
}
