"""Makes the tokenizers and the expected values of the golden tests of token ids, masks and types.

    python3 -m venv v && v/bin/pip install tokenizers
    v/bin/python tests/golden/preprocess/make_text.py

The expected values are those of Hugging Face tokenizers, padded and truncated by them. The tests are in
engine/tests/preprocess/text.rs. Everything is deterministic.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).parent
TEXTS = ["", "a", "the cat sat on the mat", "The cat. The CAT! " * 9, "Übergrößen, 東京 \U0001f600", "  two  spaces\n"]


def letters():
    return [chr(n) for n in range(ord("a"), ord("z") + 1)] + list(".!,")


def segments():
    """Pads on the left with a type of its own, and gives text and special tokens different types, as XLNet does."""
    pieces = ["[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", *letters(), *["##" + letter for letter in letters()]]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    vocabulary["<pad>"] = len(vocabulary)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "<pad>"])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:1 [SEP]:0 [CLS]:2", special_tokens=[("[SEP]", 2), ("[CLS]", 1)])
    tokenizer.enable_padding(direction="left", pad_id=vocabulary["<pad>"], pad_type_id=3, pad_token="<pad>")
    tokenizer.save(str(HERE / "tokenizer-segments.json"))


def byte_level():
    """Declares no padding, but has a token of a usual name whose id is not 0, as RoBERTa does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", *alphabet, "Ġt", "he", "Ġthe"]
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he")]
    tokenizer = Tokenizer(models.BPE({piece: index for index, piece in enumerate(pieces)}, merges))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in pieces[:3]])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(HERE / "tokenizer-byte-level.json"))


def cases(name):
    for special in (True, False):
        for length in (4, 12, 40):
            for text in TEXTS:
                tokenizer = Tokenizer.from_file(str(HERE / name))
                declared = tokenizer.padding or {
                    "pad_token": (token := "<pad>" if "byte" in name else "[PAD]"),
                    "pad_id": tokenizer.token_to_id(token), "pad_type_id": 0, "direction": "right"}
                keys = ("direction", "pad_id", "pad_type_id", "pad_token")
                tokenizer.enable_padding(length=length, **{key: declared[key] for key in keys})
                tokenizer.enable_truncation(length)
                made = tokenizer.encode(text, add_special_tokens=special)
                assert len(made.ids) == length
                yield {"tokenizer": name, "text": text, "length": length, "special_tokens": special, "ids": made.ids,
                       "mask": made.attention_mask, "types": made.type_ids}


segments()
byte_level()
made = [case for name in ("tokenizer.json", "tokenizer-segments.json", "tokenizer-byte-level.json") for case in cases(name)]
lines = ",\n".join(json.dumps(case) for case in made)
(HERE / "token-types.json").write_text(f"[\n{lines}\n]\n")
