//! What operators and browsers find beside the API.
