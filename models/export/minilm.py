"""all-MiniLM-L6-v2: BERT with six layers, the mean over the tokens, length one. Parameters are named as in its safetensors."""
import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, VOCABULARY, POSITIONS = 384, 12, 6, 30522, 512


class Embeddings(nn.Module):
    def __init__(self):
        super().__init__()
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, ids):
        """All tokens are of one sentence: of type 0."""
        positions = self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(self.word_embeddings(ids) + positions + self.token_type_embeddings.weight[0])


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, rows, bias):
        queries, keys, values = (
            part(rows).unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        weights = queries @ keys.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + bias
        return (weights.softmax(-1) @ values).transpose(1, 2).flatten(2)


class Output(nn.Module):
    """A dense layer, the sum with what came before, and a norm."""

    def __init__(self, width):
        super().__init__()
        self.dense = nn.Linear(width, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, rows, before):
        return self.LayerNorm(self.dense(rows) + before)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("self", SelfAttention())
        self.output = Output(WIDTH)

    def forward(self, rows, bias):
        return self.output(self.get_submodule("self")(rows, bias), rows)


class Intermediate(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(WIDTH, 4 * WIDTH)

    def forward(self, rows):
        return functional.gelu(self.dense(rows))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.intermediate, self.output = Attention(), Intermediate(), Output(4 * WIDTH)

    def forward(self, rows, bias):
        rows = self.attention(rows, bias)
        return self.output(self.intermediate(rows), rows)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(LAYERS))


class MiniLm(nn.Module):
    """Tokens [batch, length] and their mask -> a vector of length one for each text [batch, 384]."""

    def __init__(self):
        super().__init__()
        self.embeddings, self.encoder = Embeddings(), Encoder()

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.to(torch.float32)
        bias = (1 - mask)[:, None, None] * -1e9
        rows = self.embeddings(input_ids)
        for layer in self.encoder.layer:
            rows = layer(rows, bias)
        mean = (rows * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return functional.normalize(mean, dim=1)
