//! The order of the steps: each comes after the steps that it waits for.

/// Sorts the steps and returns their indices. Independent steps keep the given order. The error is a cycle, with its first
/// step again at the end. `awaits[i]` are the steps that step `i` waits for.
pub(super) fn sorted(awaits: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut order: Vec<usize> = Vec::with_capacity(awaits.len());
    while order.len() < awaits.len() {
        let ready = |step: &usize| {
            !order.contains(step)
                && awaits.get(*step).is_some_and(|from| from.iter().all(|f| order.contains(f)))
        };
        match (0..awaits.len()).find(ready) {
            Some(step) => order.push(step),
            None => return Err(cycle(awaits, &order)),
        }
    }
    Ok(order)
}

/// Finds a cycle. Every remaining step waits for another remaining step, so following them must come back.
fn cycle(awaits: &[Vec<usize>], done: &[usize]) -> Vec<usize> {
    let waits_for = |step: usize| {
        awaits.get(step).and_then(|from| from.iter().copied().find(|other| !done.contains(other)))
    };
    let mut path: Vec<usize> = (0..awaits.len()).find(|step| !done.contains(step)).into_iter().collect();
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
    fn step_comes_after_the_steps_that_it_waits_for() {
        assert_eq!(sorted(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(sorted(&[vec![], vec![], vec![0]]), Ok(vec![0, 1, 2]));
        assert_eq!(sorted(&[]), Ok(vec![]));
    }

    #[test]
    fn cycle_names_its_own_steps_and_no_others() {
        assert_eq!(sorted(&[vec![], vec![2, 0], vec![3], vec![2]]), Err(vec![2, 3, 2]));
        assert_eq!(sorted(&[vec![0]]), Err(vec![0, 0]));
    }
}
