//! The networks of the benchmarks, with random weights.

use tch::{Device, Kind, TchError, Tensor};

use lockstep_torch::traced::Traced;

/// A stack of 3 x 3 convolutions at one size, `[3, side, side]` in, `[channels]` out: a model of adjustable cost. 3
/// layers of 32 channels at 28 x 28 take a few milliseconds for a batch of 8 on one core.
///
/// # Errors
/// libtorch's message.
pub fn conv_stack(layers: usize, channels: usize, side: usize) -> Result<Traced, String> {
    let across = channels as i64;
    let from = |layer| if layer == 0 { 3 } else { across };
    let made: Result<Vec<Conv>, TchError> =
        (0..layers).map(|layer| Conv::new(from(layer), across, 3, 1, Activation::Relu)).collect();
    let stack = made.map_err(|error| error.to_string())?;
    Traced::new("conv-stack", &[3, side, side], &|input| {
        let mut x = input.shallow_clone();
        for conv in &stack {
            x = conv.forward(&x)?;
        }
        x.f_mean_dim(&[2_i64, 3][..], false, Kind::Float)
    })
}

/// ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", 2015; the stride in the 3 x 3
/// convolution, as torchvision has it): `[3, 224, 224]` in, `[1000]` out.
///
/// # Errors
/// libtorch's message.
pub fn resnet50() -> Result<Traced, String> {
    let net = ResNet::new().map_err(|error| error.to_string())?;
    Traced::new("resnet50", &[3, 224, 224], &|input| net.forward(input))
}

/// The operation after a convolution and its normalisation.
#[derive(Clone, Copy)]
enum Activation {
    Relu,
    Nothing,
}

/// A convolution and a batch normalisation.
struct Conv {
    weight: Tensor,
    /// Weight, bias, mean and variance of the normalisation.
    norm: [Tensor; 4],
    stride: i64,
    padding: i64,
    then: Activation,
}

impl Conv {
    fn new(from: i64, to: i64, kernel: i64, stride: i64, then: Activation) -> Result<Self, TchError> {
        let float = (Kind::Float, Device::Cpu);
        let ones = || Tensor::f_ones([to], float);
        let zeros = || Tensor::f_zeros([to], float);
        Ok(Self {
            weight: random(&[to, from, kernel, kernel], from * kernel * kernel)?,
            norm: [ones()?, zeros()?, zeros()?, ones()?],
            stride,
            padding: kernel / 2,
            then,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let none: Option<&Tensor> = None;
        let x = x.f_conv2d(&self.weight, none, [self.stride; 2], [self.padding; 2], [1, 1], 1)?;
        let [weight, bias, mean, variance] = &self.norm;
        let x =
            x.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), false, 0.1, 1e-5, true)?;
        match self.then {
            Activation::Relu => x.f_relu(),
            Activation::Nothing => Ok(x),
        }
    }
}

/// Normal numbers that keep the variance through a rectifier (He et al., "Delving Deep into Rectifiers", 2015).
fn random(size: &[i64], fan_in: i64) -> Result<Tensor, TchError> {
    Tensor::f_randn(size, (Kind::Float, Device::Cpu))?.f_mul_scalar((2.0 / fan_in as f64).sqrt())
}

/// Three convolutions beside a shortcut.
struct Bottleneck {
    main: [Conv; 3],
    shortcut: Option<Conv>,
}

impl Bottleneck {
    fn new(from: i64, inner: i64, stride: i64) -> Result<Self, TchError> {
        let to = 4 * inner;
        let shortcut = from != to || stride != 1;
        Ok(Self {
            main: [
                Conv::new(from, inner, 1, 1, Activation::Relu)?,
                Conv::new(inner, inner, 3, stride, Activation::Relu)?,
                Conv::new(inner, to, 1, 1, Activation::Nothing)?,
            ],
            shortcut: shortcut.then(|| Conv::new(from, to, 1, stride, Activation::Nothing)).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let [first, second, third] = &self.main;
        let main = third.forward(&second.forward(&first.forward(x)?)?)?;
        let beside = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)?,
            None => x.shallow_clone(),
        };
        main.f_add(&beside)?.f_relu()
    }
}

struct ResNet {
    stem: Conv,
    blocks: Vec<Bottleneck>,
    weight: Tensor,
    bias: Tensor,
}

impl ResNet {
    fn new() -> Result<Self, TchError> {
        let mut blocks = Vec::new();
        let mut from = 64;
        for (stage, count) in [3, 4, 6, 3].into_iter().enumerate() {
            let inner = 64 << stage;
            for block in 0..count {
                blocks.push(Bottleneck::new(from, inner, if stage > 0 && block == 0 { 2 } else { 1 })?);
                from = 4 * inner;
            }
        }
        Ok(Self {
            stem: Conv::new(3, 64, 7, 2, Activation::Relu)?,
            blocks,
            weight: random(&[1000, from], from)?,
            bias: Tensor::f_zeros([1000], (Kind::Float, Device::Cpu))?,
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.stem.forward(input)?.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?.f_linear(&self.weight, Some(&self.bias))
    }
}
