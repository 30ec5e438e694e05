"""The rollout against drafting done naively: one start at a time, one row at a time, dense attention."""

import unittest
from dataclasses import replace
from types import SimpleNamespace

import torch

from flowmesh_training.answers import Sequence
from flowmesh_training.batches import pad
from flowmesh_training.head import DraftHead, DraftVocabulary, HeadShape
from flowmesh_training.loss import draft_loss, goal_of
from flowmesh_training.rollout import Depth, roll_out
from flowmesh_training.target import rotary, rotate

SHAPE = HeadShape(
    hidden=16, taps=(1, 2), layers=1, heads=4, kv_heads=2, head_dim=4, ffn=24, rope_base=100.0, rms_eps=1e-5
)
VOCABULARY = 23
DEPTHS = 4


def toy_vocabulary() -> DraftVocabulary:
    generator = torch.Generator().manual_seed(3)
    target = SimpleNamespace(
        config=SimpleNamespace(vocabulary=VOCABULARY),
        dtype=torch.float32,
        embedding=torch.randn(VOCABULARY, SHAPE.hidden, generator=generator),
        lm_head=torch.randn(VOCABULARY, SHAPE.hidden, generator=generator),
        output_norm=torch.rand(SHAPE.hidden, generator=generator) + 0.5,
    )
    return DraftVocabulary(target, torch.tensor([0, 2, 3, 5, 8, 9, 11, 14, 15, 20]))


def toy_sequence(length: int, prompt: int, seed: int, temperature: float = 0.0) -> Sequence:
    generator = torch.Generator().manual_seed(seed)
    return Sequence(
        tokens=torch.randint(VOCABULARY, (length,), generator=generator).int(),
        taps=torch.randn(length, 2 * SHAPE.hidden, generator=generator),
        likely_tokens=torch.stack([torch.randperm(VOCABULARY, generator=generator)[:5] for _ in range(length)]).int(),
        likely_probabilities=torch.rand(length, 5, generator=generator).sort(descending=True).values / 5,
        prompt_length=prompt,
        temperature=temperature,
    )


def toy_head(layers: int) -> DraftHead:
    torch.manual_seed(layers)
    head = DraftHead(replace(SHAPE, layers=layers))
    with torch.no_grad():
        for weights in head.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return head


class NaiveDrafter:
    """Goes through the head row by row, with all keys and values it has seen in one list a layer."""

    def __init__(self, head: DraftHead, vocabulary: DraftVocabulary):
        self.head = head
        self.vocabulary = vocabulary
        self.seen = [([], []) for _ in head.layers]

    def read(self, feature, token: int, position: int):
        head, shape = self.head, self.head.shape
        hidden = feature
        for number, layer in enumerate(head.layers):
            if number == 0:
                x = head.enter(self.vocabulary.embedding[token], hidden)
            else:
                x = head.norm(hidden, layer.norm_attention)
            by_head = (layer.qkv @ x).view(-1, shape.head_dim)
            cosine, sine = rotary(torch.tensor(position), shape.head_dim, shape.rope_base)
            query = rotate(by_head[: shape.heads], cosine, sine)
            keys, values = self.seen[number]
            keys.append(rotate(by_head[shape.heads : shape.heads + shape.kv_heads], cosine, sine))
            values.append(by_head[shape.heads + shape.kv_heads :])
            gathered = []
            for index in range(shape.heads):
                of = index // (shape.heads // shape.kv_heads)
                scores = torch.stack([query[index] @ key[of] for key in keys]) * shape.head_dim**-0.5
                gathered.append(sum(w * v[of] for w, v in zip(scores.softmax(0), values, strict=True)))
            hidden = head.finish(layer, hidden, torch.cat(gathered))
        return hidden


class RolloutTest(unittest.TestCase):
    def test_each_depth_is_what_drafting_row_by_row_gives(self):
        vocabulary = toy_vocabulary()
        sequences = [toy_sequence(9, 3, 1), toy_sequence(12, 7, 2), toy_sequence(5, 3, 3)]
        batch = pad(sequences)
        for layers in (1, 2, 3):
            head = toy_head(layers)
            with torch.no_grad():
                depths = list(roll_out(head, vocabulary, batch, DEPTHS))
                expected = [[] for _ in range(DEPTHS)]
                for sequence in sequences:
                    features = head.fuse(sequence.taps)
                    for start in range(sequence.prompt_length - 1, len(sequence) - 2):
                        drafter = NaiveDrafter(head, vocabulary)
                        for position in range(start + 1):
                            feature = drafter.read(features[position], int(sequence.tokens[position + 1]), position)
                        for depth in range(DEPTHS):
                            if start + depth + 1 > len(sequence) - 2:
                                break
                            if depth > 0:
                                at = start + depth
                                feature = drafter.read(feature, int(sequence.tokens[at + 1]), at)
                            expected[depth].append((feature, sequence.likely_tokens[start + depth + 1]))
            for depth, naive in zip(depths, expected, strict=True):
                self.assertEqual(len(depth.drafted), len(naive))
                torch.testing.assert_close(depth.drafted, torch.stack([feature for feature, _ in naive]))
                self.assertTrue(torch.equal(depth.likely_tokens, torch.stack([tokens for _, tokens in naive]).long()))

    def test_sparse_depths_are_some_rows_of_the_dense_ones(self):
        vocabulary = toy_vocabulary()
        batch = pad([toy_sequence(14, 3, 5), toy_sequence(11, 4, 6)])
        head = toy_head(2)
        with torch.no_grad():
            dense = list(roll_out(head, vocabulary, batch, DEPTHS))
            parts = [list(roll_out(head, vocabulary, batch, DEPTHS, (3, offset))) for offset in range(3)]
        torch.testing.assert_close(parts[0][0].drafted, dense[0].drafted)
        for depth in range(1, DEPTHS):
            joined = torch.cat([part[depth].drafted for part in parts])
            self.assertEqual(len(joined), len(dense[depth].drafted))
            distances = torch.cdist(joined, dense[depth].drafted)
            self.assertLess(float(distances.min(1).values.max()), 1e-4)


class LossTest(unittest.TestCase):
    def test_value_and_gradient_are_those_of_plain_cross_entropy(self):
        vocabulary = toy_vocabulary()
        sequence = toy_sequence(20, 2, 9)
        depth = Depth(
            drafted=torch.randn(20, SHAPE.hidden),
            likely_tokens=sequence.likely_tokens.long(),
            likely_probabilities=sequence.likely_probabilities,
            greedy=torch.arange(20) % 2 == 0,
        )
        x = depth.drafted.clone().requires_grad_()
        loss = draft_loss(x, vocabulary, depth)
        (2 * loss).backward()
        plain = depth.drafted.clone().requires_grad_()
        log_probs = (plain @ vocabulary.rows.T).log_softmax(-1)
        tokens = vocabulary.tokens.tolist()
        expected = torch.zeros(())
        for row in range(20):
            share = depth.likely_probabilities[row]
            for i, token in enumerate(depth.likely_tokens[row].tolist()):
                goal = share[i]
                if depth.greedy[row]:
                    goal = 0.5 * goal + (0.5 * share.sum() if i == 0 else 0)
                if token in tokens:
                    expected = expected - goal * log_probs[row, tokens.index(token)]
        (2 * expected).backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(x.grad, plain.grad)

    def test_tokens_outside_the_draft_vocabulary_have_no_share(self):
        vocabulary = toy_vocabulary()
        depth = Depth(
            drafted=torch.zeros(1, SHAPE.hidden),
            likely_tokens=torch.tensor([[1, 2]]),
            likely_probabilities=torch.tensor([[0.6, 0.3]]),
            greedy=torch.tensor([False]),
        )
        _, goal = goal_of(vocabulary, depth)
        torch.testing.assert_close(goal, torch.tensor([[0.0, 0.3]]))


if __name__ == "__main__":
    unittest.main()
