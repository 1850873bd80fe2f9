//! The vocabulary of metrics. Shells report what happened through these functions and through nothing
//! else: the raw macros are banned by lint, so a metric's name, unit and labels are said once.
