//! A TorchScript module whose weights lie in safetensors files: a *skeleton*, the module with a zero for each weight, whose
//! parameters and buffers take the memory of the mapped files.
//!
//! This file has the crate's only view of foreign memory that lives longer than a call. It is sound for four reasons:
//! 1. *The maps outlive the tensors.* [`WeightedModule`] owns both, and drops the module first. It lends the module for calls only,
//!    and what a call returns is copied before the next one.
//! 2. *The memory is as large as the tensor says.* [`Checkpoint`] holds tensors whose bytes match their type and shape, and each is
//!    taken by a checked slice of the map.
//! 3. *The memory may be written.* A map is private (copy on write): a model that changes a weight changes a copy of its page, not the
//!    file, and no other instance sees it.
//! 4. *The memory has valid values and an address that aligns them.* Any bytes are a number; truth values are checked. A tensor at
//!    another address is copied.
//!
//! One thing no program can rule out: if someone shortens a file while it is mapped, the next access to a page that is gone ends the
//! process (SIGBUS). So replace files of weights by renaming, and never write into them.

use std::fs::File;
use std::path::Path;

use lockstep_backend::weights_folder;
use lockstep_engine::infer::load_model::LoadModel;
use lockstep_engine::infer::weights::checkpoint::{Checkpoint, DeclaredTensor};
use lockstep_engine::infer::weights::shard::StoredTensor;
use lockstep_engine::tensor::DType;
use memmap2::{MmapMut, MmapOptions};
use tch::{CModule, Device, IValue, TchError, Tensor};

use crate::convert::{dtype_of, kind_of, said};

/// The method of a skeleton that returns its buffers by name. libtorch's own list of them does not reach tch.
const BUFFERS: &str = "lockstep_buffers";

/// A module, and the files that its weights are in.
pub(crate) struct WeightedModule {
    /// Dropped before the maps: fields drop in the order of their declaration.
    module: CModule,
    maps: Vec<MmapMut>,
}

impl WeightedModule {
    /// A module that has its weights in its own memory.
    ///
    /// # Errors
    /// A skeleton, whose weights are zeros.
    pub(crate) fn whole(module: CModule) -> Result<Self, String> {
        let (tensors, _) = tensors(&module)?;
        if let Some((name, _)) = tensors.iter().find(|(_, tensor)| is_hollow(tensor)) {
            return Err(format!(
                "the file is a skeleton without weights, such as {name}; name them by [weights] in its model.toml"
            ));
        }
        Ok(Self { module, maps: Vec::new() })
    }

    /// Gives a skeleton on `device` its weights. On the CPU its tensors are the mapped files; other devices get copies, one shard
    /// after the other.
    ///
    /// # Errors
    /// All faults of the weights.
    pub(crate) fn filled(
        module: CModule,
        model: &LoadModel,
        checkpoint: &Checkpoint,
        device: Device,
    ) -> Result<Self, String> {
        let (mut tensors, has_buffers) = tensors(&module)?;
        let (mut declared, mut faults) = (Vec::new(), Vec::new());
        for (name, tensor) in &tensors {
            let name = name.clone();
            let kind = tensor.f_kind().map_err(|error| said(&error))?;
            match dtype_of(kind) {
                Some(dtype) => declared.push(DeclaredTensor { name, dtype, shape: extents(tensor) }),
                None => {
                    faults.push(format!("{name}: is {kind:?} in the model, a type that weights cannot have"))
                }
            }
        }
        faults.extend(checkpoint.compare(&declared));
        if let Some(mut refusal) = checkpoint.refusal(&faults) {
            if !has_buffers {
                refusal += &format!(
                    "; the file has no method {BUFFERS}, so that its buffers get no weights: make it by shard_torchscript.py"
                );
            }
            return Err(refusal);
        }
        tensors.sort_by(|one, other| one.0.cmp(&other.0));
        let mut filled = Self { module, maps: Vec::with_capacity(checkpoint.shards.len()) };
        for shard in &checkpoint.shards {
            let path = weights_folder(model).join(&shard.name);
            // Kept before a tensor sees it, so that it outlives the module in case of an error, too.
            filled.maps.push(map(&path)?);
            let Some(map) = filled.maps.last_mut() else { continue };
            for stored in &shard.tensors {
                let wrong = |why: String| format!("{}: {}: {why}", path.display(), stored.name);
                let place = tensors.binary_search_by(|(name, _)| name.cmp(&stored.name));
                let own = place.ok().and_then(|place| tensors.get_mut(place)).map(|(_, tensor)| tensor);
                let own = own.ok_or_else(|| wrong("the model does not have it".to_owned()))?;
                give(own, stored, map, device).map_err(wrong)?;
            }
            if device != Device::Cpu {
                filled.maps.pop();
            }
        }
        Ok(filled)
    }

    /// The module. A tensor that shares its weights must not outlive it.
    pub(crate) fn module(&self) -> &CModule {
        &self.module
    }

    /// Sets the module to inference.
    pub(crate) fn set_eval(&mut self) -> Result<(), TchError> {
        self.module.f_set_eval()
    }
}

/// The parameters of a module and the buffers that it lists, by name; and true if it lists its buffers.
fn tensors(module: &CModule) -> Result<(Vec<(String, Tensor)>, bool), String> {
    let mut tensors = module.named_parameters().map_err(|error| said(&error))?;
    let buffers = buffers(module)?;
    let has_buffers = buffers.is_some();
    tensors.extend(buffers.into_iter().flatten());
    Ok((tensors, has_buffers))
}

/// Returns true for the tensor of a skeleton: many elements in the memory of one.
fn is_hollow(tensor: &Tensor) -> bool {
    tensor.numel() > 1 && tensor.stride().iter().all(|stride| *stride == 0)
}

/// The buffers that a skeleton lists; none if the module has no such method.
fn buffers(module: &CModule) -> Result<Option<Vec<(String, Tensor)>>, String> {
    let wrong = || format!("{BUFFERS}() must return a dictionary of tensors by name");
    let entries = match module.method_is::<IValue>(BUFFERS, &[]) {
        Ok(IValue::GenericDict(entries)) => entries,
        Ok(_) => return Err(wrong()),
        Err(error) if said(&error).contains("is not defined") => return Ok(None),
        Err(error) => return Err(format!("{BUFFERS}() fails: {}", said(&error))),
    };
    let pairs = entries.into_iter().map(|entry| match entry {
        (IValue::String(name), IValue::Tensor(tensor)) => Ok((name, tensor)),
        _ => Err(wrong()),
    });
    pairs.collect::<Result<_, _>>().map(Some)
}

fn extents(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect()
}

/// Maps a file into memory, privately.
#[allow(unsafe_code)]
fn map(path: &Path) -> Result<MmapMut, String> {
    let wrong = |error: std::io::Error| format!("{} cannot be mapped into memory: {error}", path.display());
    let file = File::open(path).map_err(wrong)?;
    // SAFETY: the map is private, so that no write of this process reaches the file, nor a write of its own another map. A file that
    // others change or shorten meanwhile is the risk that the head of this file names; no `&str` or other checked value is read
    // from the map, only numbers.
    unsafe { MmapOptions::new().no_reserve_swap().map_copy(&file) }.map_err(wrong)
}

/// Gives a tensor of the module the memory, or a copy, of a stored one with the same type and shape.
#[allow(unsafe_code)]
fn give(own: &mut Tensor, stored: &StoredTensor, map: &mut MmapMut, device: Device) -> Result<(), String> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let (start, end) = (place(stored.bytes.start), place(stored.bytes.end));
    let bytes = map.get_mut(start..end).ok_or("the file has become shorter; fetch it again")?;
    if stored.dtype == DType::Bool && bytes.iter().any(|byte| *byte > 1) {
        return Err("has truth values beside 0 and 1".to_owned());
    }
    let kind = kind_of(stored.dtype);
    let size: Vec<i64> =
        stored.shape.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect();
    let aligned = bytes.as_ptr().addr().is_multiple_of(stored.dtype.size());
    let made = if aligned {
        // SAFETY: `bytes` holds as many elements of `kind` as `size` says, at an address that aligns them: the reasons 2 and 4 at the
        // head of this file. On the CPU the view becomes the module's, and the caller keeps the map as long as the module (1), whose
        // pages may be written (3). For another device it is only read, by the copy below.
        unsafe { Tensor::f_from_blob(bytes.as_mut_ptr(), &size, &[], kind, Device::Cpu) }
    } else {
        Tensor::f_from_data_size(bytes, &size, kind)
    };
    let set = || -> Result<(), TchError> {
        let view = made?;
        let view = if device == Device::Cpu { view } else { view.f_to_device(device)? };
        tch::no_grad(|| own.f_set_source_tensor_(&view)).map(drop)
    };
    set().map_err(|error| said(&error))
}
