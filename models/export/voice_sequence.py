"""Voice without a loop: the form of the model that the ONNX and torch.export exporters share."""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

import export_voice


class VoiceSequence(export_voice.Voice):
    """The same weights, inputs and outputs as Voice.

    One LSTM operator takes all chunks. An exporter would unroll the loop of Voice, which fixes the number of chunks.
    """

    def forward(self, audio: Tensor, state: Tensor, context: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        batch = audio.size(0)
        # Chunk i sees samples [512 * i, 512 * i + 576) of context and audio together.
        starts = torch.cat([context, audio], 1)[:, :-self.context].reshape(batch, -1, self.chunk)
        ends = audio.reshape(batch, -1, self.chunk)[:, :, -self.context:]
        x = torch.cat([starts, ends], 2).reshape(-1, 1, self.context + self.chunk)
        x = self.spectrum(F.pad(x, [0, 64], mode="reflect"))
        x = (x[:, :129].square() + x[:, 129:].square()).sqrt()
        x = self.encoder(x).reshape(batch, -1, 128)
        # libtorch's LSTM reads past the end of a state of another batch. This fails instead.
        state = state.reshape(2, batch, 128)
        heard, hidden, cell = torch.lstm(
            x, [state[:1], state[1:]], list(self.memory.parameters()), True, 1, 0.0, False, False, True)
        probability = torch.sigmoid(self.decide(torch.relu(heard))).squeeze(2)
        return probability, torch.cat([hidden, cell]), ends[:, -1].reshape(-1, self.context).clone()


def build(wheel: str) -> VoiceSequence:
    """Takes the weights that export_voice.py takes."""
    voice = VoiceSequence()
    voice.load_state_dict(export_voice.build(wheel).state_dict())
    return voice.eval().requires_grad_(False)
