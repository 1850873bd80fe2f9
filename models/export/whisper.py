"""Whisper of OpenAI: encoder and decoder with greedy search, scripted, so that the search is a loop of the graph.

The names of the parameters are those of CTranslate2's file, with dots in place of slashes.
"""
from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, LAYERS, VOCABULARY = 384, 4, 51864
BANDS, MAX_FRAMES, MAX_TOKENS = 80, 1500, 448
# `<|startoftranscript|>`, with which every text begins, `<|notimestamps|>`, and the end of a text.
START, NO_TIMESTAMPS, END = 50257, 50362, 50256


# TorchScript sees no numbers from outside a function: the sizes of heads are written out.
def split(rows: Tensor) -> Tensor:
    """[batch, time, width] to [batch, 6 heads, time, 64]."""
    return rows.view(rows.size(0), rows.size(1), 6, 64).transpose(1, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    weights = torch.matmul(queries * 64**-0.5, keys.transpose(2, 3)).softmax(-1)
    return torch.matmul(weights, values).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Queries, keys and values come from one matrix."""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0 = nn.Linear(WIDTH, 3 * WIDTH)
        self.linear_1 = nn.Linear(WIDTH, WIDTH)

    def forward(self, rows: Tensor) -> Tensor:
        queries, keys, values = self.linear_0(self.layer_norm(rows)).split(384, 2)
        return rows + self.linear_1(attend(split(queries), split(keys), split(values)))

    def next(self, rows: Tensor, keys: Tensor, values: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """One further token, which sees all before it: their keys and values are there already."""
        query, key, value = self.linear_0(self.layer_norm(rows)).split(384, 2)
        keys, values = torch.cat([keys, split(key)], 2), torch.cat([values, split(value)], 2)
        return rows + self.linear_1(attend(split(query), keys, values)), keys, values


class CrossAttention(nn.Module):
    """Keys and values come from the encoder, in one matrix."""

    def __init__(self):
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0 = nn.Linear(WIDTH, WIDTH)
        self.linear_1 = nn.Linear(WIDTH, 2 * WIDTH)
        self.linear_2 = nn.Linear(WIDTH, WIDTH)

    def prepare(self, heard: Tensor) -> Tuple[Tensor, Tensor]:
        keys, values = self.linear_1(heard).split(384, 2)
        return split(keys), split(values)

    def forward(self, rows: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        queries = split(self.linear_0(self.layer_norm(rows)))
        return rows + self.linear_2(attend(queries, keys, values))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.linear_0 = nn.Linear(WIDTH, 4 * WIDTH)
        self.linear_1 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, rows: Tensor) -> Tensor:
        return rows + self.linear_1(functional.gelu(self.linear_0(self.layer_norm(rows))))


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attention, self.ffn = SelfAttention(), FeedForward()

    def forward(self, rows: Tensor) -> Tensor:
        return self.ffn(self.self_attention(rows))


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attention, self.attention, self.ffn = SelfAttention(), CrossAttention(), FeedForward()

    def forward(self, rows: Tensor, keys: Tensor, values: Tensor, heard: Tuple[Tensor, Tensor]):
        rows, keys, values = self.self_attention.next(rows, keys, values)
        return self.ffn(self.attention(rows, heard[0], heard[1])), keys, values


class Positions(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.encodings = nn.Parameter(torch.zeros(length, WIDTH))


class Embeddings(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(VOCABULARY, WIDTH))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.position_encodings = Positions(MAX_FRAMES)
        self.layer_0, self.layer_1, self.layer_2, self.layer_3 = [EncoderLayer() for _ in range(LAYERS)]
        self.layer_norm = nn.LayerNorm(WIDTH)

    def forward(self, mel: Tensor) -> Tensor:
        rows = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        rows = rows + self.position_encodings.encodings[: rows.size(1)]
        return self.layer_norm(self.layer_3(self.layer_2(self.layer_1(self.layer_0(rows)))))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = Embeddings()
        self.position_encodings = Positions(MAX_TOKENS)
        self.layer_0, self.layer_1, self.layer_2, self.layer_3 = [DecoderLayer() for _ in range(LAYERS)]
        self.layer_norm = nn.LayerNorm(WIDTH)


class Whisper(nn.Module):
    """mel [batch, 80, frames] -> tokens [batch, n], mean log-probability of the tokens [batch, 1].

    Texts that end before the longest are filled with the token that ends them.
    """

    def __init__(self, never, never_first, limit: int):
        """`never` lists tokens that are no speech; `never_first` those that no text begins with."""
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.limit = limit
        self.start, self.no_timestamps, self.end = START, NO_TIMESTAMPS, END
        self.register_buffer("never", torch.tensor(never))
        self.register_buffer("never_first", torch.tensor(never_first))

    def forward(self, mel: Tensor) -> Tuple[Tensor, Tensor]:
        heard = self.encoder(mel)
        d = self.decoder
        heard_0, heard_1 = d.layer_0.attention.prepare(heard), d.layer_1.attention.prepare(heard)
        heard_2, heard_3 = d.layer_2.attention.prepare(heard), d.layer_3.attention.prepare(heard)
        batch = heard.size(0)
        nothing = heard.new_zeros(batch, 6, 0, 64)
        k0, k1, k2, k3 = nothing, nothing, nothing, nothing
        v0, v1, v2, v3 = nothing, nothing, nothing, nothing
        token = torch.full([batch], self.start, dtype=torch.int64)
        tokens = torch.zeros([batch, 0], dtype=torch.int64)
        done = torch.zeros([batch], dtype=torch.int64)
        total, count = torch.zeros([batch]), torch.zeros([batch])
        at = 0
        while at <= self.limit and bool(done.min() == 0):
            rows = (d.embeddings.weight[token] + d.position_encodings.encodings[at]).unsqueeze(1)
            rows, k0, v0 = d.layer_0(rows, k0, v0, heard_0)
            rows, k1, v1 = d.layer_1(rows, k1, v1, heard_1)
            rows, k2, v2 = d.layer_2(rows, k2, v2, heard_2)
            rows, k3, v3 = d.layer_3(rows, k3, v3, heard_3)
            logits = torch.matmul(d.layer_norm(rows[:, 0]), d.embeddings.weight.t())
            logits = logits.index_fill(1, self.never, -1e9)
            if at == 1:
                logits = logits.index_fill(1, self.never_first, -1e9)
            best = logits.log_softmax(1).max(1)
            # The second token is given, too; what the model says after the first is not used.
            given = at == 0
            token = torch.full_like(token, self.no_timestamps) if given else torch.where(done == 1, torch.full_like(token, self.end), best[1])
            if not given:
                running = (1 - done).to(total.dtype)
                total, count = total + best[0] * running, count + running
                done = torch.where(token == self.end, torch.ones_like(done), done)
                tokens = torch.cat([tokens, token.unsqueeze(1)], 1)
            at += 1
        return tokens, (total / count).unsqueeze(1)
