//! Recovery to a point in time, by the very commands of docs/operating.md: what is before that point is there, the mistake
//! behind it is not, and work goes on.
