"""Makes `texts.json`: rows of tokens, and the texts that Hugging Face makes of them.

    python3 -m venv v && v/bin/pip install tokenizers==0.22.1
    v/bin/python tests/golden/postprocess/make_text.py

The tokenizers are those of `../preprocess`. The one of bytes gets a decoder, with which it is written beside the cases. A row may go on behind its end, as a row of a batch does.
"""
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders

HERE = Path(__file__).parent
TEXTS = ["the quick brown fox", "Hello, world! 123", "  spaces  around ", "naïve café – ☃ 你好 🎉", "", "a\nb\tc"]


def text_of(tokenizer, row, end):
    kept = row[: row.index(end)] if end in row else row
    return tokenizer.decode(kept, skip_special_tokens=True).strip()


byte_level = Tokenizer.from_file(str(HERE / "../preprocess/tokenizer-byte-level.json"))
byte_level.decoder = decoders.ByteLevel()
byte_level.save(str(HERE / "tokenizer-bytes.json"), pretty=False)

cases = []
for name in ["preprocess/tokenizer.json", "preprocess/tokenizer-segments.json", "postprocess/tokenizer-bytes.json"]:
    tokenizer = Tokenizer.from_file(str(HERE.parent / name))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    known = sorted(tokenizer.get_vocab(with_added_tokens=True).values())
    end = known[-1]
    for text in TEXTS:
        row = tokenizer.encode(text).ids
        for padded, stop in [(row, None), (row + [end] * 3, end), (row + [end, *known[:4]], end)]:
            cases.append({"tokenizer": name, "tokens": padded, "end": stop, "text": text_of(tokenizer, padded, stop)})
    # Every token, in an order that splits characters of several bytes.
    odd = known[::-3]
    cases.append({"tokenizer": name, "tokens": odd, "end": None, "text": text_of(tokenizer, odd, None)})
(HERE / "texts.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n", "utf-8")
print(len(cases), "cases")
