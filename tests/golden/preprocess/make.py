"""Makes the inputs and the expected numbers of the golden tests of preprocessing.

    python3 -m venv v && v/bin/pip install pillow numpy soundfile librosa tokenizers
    v/bin/python tests/golden/preprocess/make.py

What is expected comes from the tools that models are trained with: Pillow (whose resize is what torchvision
applies to Pillow images), librosa, and Hugging Face tokenizers. Everything is deterministic. Numbers are raw
and little-endian: .u8 and .f32 by their names. The cases are named in engine/tests/preprocess_golden.rs.
"""

import json
from pathlib import Path

import librosa
import numpy as np
import soundfile
from PIL import Image, ImageOps
from scipy.io import wavfile
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).parent


def scene(width, height):
    """Something like a photograph: a sky with a sun, hills, grass with texture, a hard-edged house."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / width, y / height
    image = np.stack([90 + 120 * v, 140 + 80 * v, 230 - 30 * v], axis=-1)
    sun = np.exp(-((u - 0.75) ** 2 + (v - 0.2) ** 2) / 0.01)[..., None]
    image = image * (1 - sun) + np.array([255, 240, 170]) * sun
    hills = v > 0.55 + 0.08 * np.sin(7 * u) + 0.03 * np.sin(23 * u + 1)
    noise = np.random.default_rng(7).normal(0, 12, (height, width))
    grass = np.stack([60 + 40 * v + noise, 120 + 30 * np.sin(40 * u * v) + noise, 50 + noise], axis=-1)
    image[hills] = grass[hills]
    house = (abs(u - 0.3) < 0.1) & (abs(v - 0.6) < 0.13)
    image[house] = [180, 60, 50]
    window = (abs(u - 0.27) < 0.025) & (abs(v - 0.58) < 0.04)
    image[window] = [250, 250, 210]
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def pixels(name, image):
    np.asarray(image, dtype=np.uint8).tofile(HERE / f"{name}.u8")


def numbers(name, array):
    np.asarray(array, dtype="<f4").tofile(HERE / f"{name}.f32")


def images():
    full = scene(160, 120)
    full.save(HERE / "scene.jpg", quality=90)
    full.save(HERE / "scene-progressive.jpg", quality=85, progressive=True, subsampling=0)
    scene(640, 480).save(HERE / "bench-640x480.jpg", quality=85)
    full.convert("L").save(HERE / "gray.jpg", quality=90)
    full.convert("CMYK").save(HERE / "cmyk.jpg", quality=90)
    full.resize((80, 60)).save(HERE / "scene.png")
    full.resize((80, 60)).save(HERE / "lossless.webp", lossless=True)
    full.save(HERE / "scene.webp", quality=80)
    small = full.resize((40, 30))
    alpha = Image.fromarray((np.mgrid[0:30, 0:40][1] * 6).astype(np.uint8))
    small.putalpha(alpha)
    small.save(HERE / "rgba.png")
    full.resize((40, 30)).quantize(32).save(HERE / "palette.png")
    deep = (np.mgrid[0:30, 0:40][0] * 2000 + np.mgrid[0:30, 0:40][1] * 77).astype(np.uint16)
    Image.fromarray(deep).save(HERE / "gray16.png")
    pixels("gray16", np.repeat((deep >> 8)[..., None], 3, axis=-1))

    for name in ["scene.jpg", "scene-progressive.jpg", "gray.jpg", "cmyk.jpg", "scene.png", "lossless.webp",
                 "scene.webp", "rgba.png", "palette.png"]:
        pixels(f"decoded-{name}", Image.open(HERE / name).convert("RGB").resize((40, 30), Image.NEAREST)
               if name not in ("rgba.png", "palette.png") else Image.open(HERE / name).convert("RGB"))

    source = Image.open(HERE / "scene.png").convert("RGB")  # 80 x 60
    filters = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    for name, kind in filters.items():
        pixels(f"stretch-down-{name}", source.resize((33, 21), kind))
        pixels(f"stretch-up-{name}", source.resize((101, 97), kind))
        pixels(f"fit-{name}", ImageOps.pad(source, (48, 48), kind, color=(10, 200, 30)))
        # torchvision: Resize(31) of the shorter side, then CenterCrop(31).
        whole = source.resize((int(31 * 80 / 60), 31), kind)
        left, top = round((whole.width - 31) / 2), round((whole.height - 31) / 2)
        pixels(f"crop-{name}", whole.crop((left, top, left + 31, top + 31)))
    tall = source.transpose(Image.ROTATE_90)
    tall.save(HERE / "tall.png")
    pixels("fit-tall", ImageOps.pad(tall, (50, 41), Image.BILINEAR, color=(10, 200, 30)))

    # torchvision: Resize((24, 32)), ToTensor, Normalize with ImageNet's statistics.
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    tensor = np.asarray(source.resize((32, 24), Image.BILINEAR)).astype(np.float32) / np.float32(255)
    normal = (tensor - mean) / std
    numbers("normalised-chw", normal.transpose(2, 0, 1))
    numbers("normalised-hwc-bgr", normal[..., ::-1])
    jpeg = np.asarray(Image.open(HERE / "scene.jpg").resize((32, 24), Image.BILINEAR)).astype(np.float32)
    numbers("jpeg-normalised-chw", ((jpeg / np.float32(255) - mean) / std).transpose(2, 0, 1))


def chirp(rate, seconds, low, high):
    t = np.arange(int(rate * seconds)) / rate
    sweep = np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * seconds)))
    return sweep * np.hanning(len(t)) ** 0.25


def sounds():
    noise = np.random.default_rng(3)
    # Chirps that end below what 16 kHz can hold: resamplers differ in their last kilohertz.
    left = 0.5 * chirp(44_100, 0.4, 100, 6_000)
    right = 0.3 * chirp(44_100, 0.4, 5_000, 300)
    stereo = np.stack([left, right], axis=-1)
    soundfile.write(HERE / "stereo-44k1.flac", stereo, 44_100, subtype="PCM_16")
    read, _ = soundfile.read(HERE / "stereo-44k1.flac", dtype="float32")
    numbers("flac-mixed", read.mean(axis=1)[4_000:6_000])
    numbers("resampled-16k", librosa.resample(read.mean(axis=1), orig_sr=44_100, target_sr=16_000,
                                              res_type="soxr_vhq"))
    short = 0.6 * chirp(8_000, 0.1, 200, 3_000)
    for name, subtype in [("u8", "PCM_U8"), ("s16", "PCM_16"), ("s24", "PCM_24"), ("s32", "PCM_32"), ("f32", "FLOAT")]:
        if name == "f32":  # soundfile would write the time of day into it.
            wavfile.write(HERE / "short-f32.wav", 8_000, short.astype(np.float32))
        else:
            soundfile.write(HERE / f"short-{name}.wav", short, 8_000, subtype=subtype)
        read, _ = soundfile.read(HERE / f"short-{name}.wav", dtype="float32")
        numbers(f"short-{name}", read)
    numbers("short-up-16k", librosa.resample(read, orig_sr=8_000, target_sr=16_000, res_type="soxr_vhq"))

    wave = 0.5 * chirp(16_000, 0.5, 80, 7_500) + noise.normal(0, 0.01, 8_000)
    soundfile.write(HERE / "speechlike-16k.wav", wave, 16_000, subtype="PCM_16")
    y, _ = soundfile.read(HERE / "speechlike-16k.wav", dtype="float32")

    def mel(**options):
        return librosa.feature.melspectrogram(y=y, sr=16_000, pad_mode="reflect", **options)

    power = mel(n_fft=400, hop_length=160, n_mels=80, fmin=0, fmax=8_000)
    numbers("mel-slaney-db", librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None))
    magnitude = mel(n_fft=512, win_length=400, hop_length=200, n_mels=40, fmin=50, fmax=7_600, htk=True, norm=None,
                    power=1.0, center=False)
    numbers("mel-htk-natural", np.log(np.maximum(magnitude, 1e-5)))
    # As whisper.audio.log_mel_spectrogram: the last frame is dropped.
    log = np.log10(np.maximum(power[:, :-1], 1e-10))
    numbers("mel-whisper", (np.maximum(log, log.max() - 8.0) + 4.0) / 4.0)


TEXTS = [
    "",
    "a",
    "The camera sees two faces.",
    "Someone is speaking; the microphone hears it, and the results are aligned by event time.",
    "Übergrößen, naïve café, 東京, \U0001f600!",
    "   spaces\tand\nnew lines   ",
    "word " * 40,
]


def texts():
    # Made by hand: a trainer breaks ties by chance. Letters, some words, beginnings and endings.
    words = sorted({word.strip(".,;!").lower() for text in TEXTS[2:4] for word in text.split()})
    letters = [chr(n) for n in range(ord("a"), ord("z") + 1)] + list(".,;!")
    pieces = words[::2] + [word[:4] for word in words if len(word) > 5] + letters
    pieces += ["##" + word[4:] for word in words if len(word) > 5] + ["##" + letter for letter in letters]
    vocabulary = {}
    for piece in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces]:
        vocabulary.setdefault(piece, len(vocabulary))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")),
                                                 ("[SEP]", tokenizer.token_to_id("[SEP]"))])
    tokenizer.save(str(HERE / "tokenizer.json"))
    cases = []
    for length, special in [(8, True), (32, True), (16, False), (2, False)]:
        for text in TEXTS:
            tokenizer.no_truncation()
            tokenizer.no_padding()
            whole = tokenizer.encode(text, add_special_tokens=special)
            tokenizer.enable_truncation(length) if length > 2 else None
            tokenizer.enable_padding(length=length, pad_id=0, pad_token="[PAD]")
            cut = tokenizer.encode(text, add_special_tokens=special)
            ids, mask = cut.ids[:length], cut.attention_mask[:length]
            cases.append({"text": text, "length": length, "special_tokens": special, "ids": ids, "mask": mask,
                          "tokens": len(whole.ids)})
    (HERE / "tokens.json").write_text(json.dumps(cases, indent=1) + "\n")


images()
sounds()
texts()
print(sum(path.stat().st_size for path in HERE.iterdir()), "bytes")
