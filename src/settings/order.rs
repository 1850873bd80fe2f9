//! Puts steps in an order in which each comes after those that it takes from.

/// The order, as indices, keeping the given one where it can; or the steps of a cycle, the first one
/// again at the end. `takes[i]` are the steps that step `i` takes from.
pub(super) fn sorted(takes: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut order: Vec<usize> = Vec::with_capacity(takes.len());
    while order.len() < takes.len() {
        let ready = |step: &usize| {
            !order.contains(step)
                && takes.get(*step).is_some_and(|from| from.iter().all(|f| order.contains(f)))
        };
        match (0..takes.len()).find(ready) {
            Some(step) => order.push(step),
            None => return Err(cycle(takes, &order)),
        }
    }
    Ok(order)
}

/// Every step that is left waits for another that is left: following them must come back.
fn cycle(takes: &[Vec<usize>], done: &[usize]) -> Vec<usize> {
    let waits_for = |step: usize| {
        takes.get(step).and_then(|from| from.iter().copied().find(|other| !done.contains(other)))
    };
    let mut path: Vec<usize> = (0..takes.len()).find(|step| !done.contains(step)).into_iter().collect();
    while let Some(next) = path.last().copied().and_then(waits_for) {
        let seen = path.iter().position(|step| *step == next);
        path.push(next);
        if let Some(start) = seen {
            return path.split_off(start);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_comes_after_those_that_it_takes_from() {
        assert_eq!(sorted(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(sorted(&[vec![], vec![], vec![0]]), Ok(vec![0, 1, 2]));
        assert_eq!(sorted(&[]), Ok(vec![]));
    }

    #[test]
    fn a_cycle_is_named_and_nothing_else_is() {
        assert_eq!(sorted(&[vec![], vec![2, 0], vec![3], vec![2]]), Err(vec![2, 3, 2]));
        assert_eq!(sorted(&[vec![0]]), Err(vec![0, 0]));
    }
}
