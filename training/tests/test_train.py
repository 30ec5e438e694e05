"""Training: it learns, and a stopped run ends where an unbroken one does."""

import tempfile
import unittest
from pathlib import Path

import torch

from flowmesh_training.answers import write_sequences
from flowmesh_training.batches import epoch_batches
from flowmesh_training.evaluate import DEPTHS
from flowmesh_training.export import load_weights, write_head
from flowmesh_training.problem import Problem
from flowmesh_training.train import RECIPE, Trainer

from .test_rollout import toy_head, toy_sequence, toy_vocabulary


def write_toy_answers(folder: Path) -> list[Path]:
    """Three files with four answers each."""
    files = [folder / f"answers-{number}.safetensors" for number in range(3)]
    for number, path in enumerate(files):
        write_sequences(path, [toy_sequence(14 + i, 4, 10 * number + i) for i in range(4)])
    return files


class TrainTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.files = write_toy_answers(self.path)

    def tearDown(self):
        self.folder.cleanup()

    def trainer(self, name: str) -> Trainer:
        return Trainer(toy_head(2), toy_vocabulary(), self.files, 1, self.path / name)

    def test_a_stopped_training_ends_with_the_same_weights(self):
        unbroken = self.trainer("unbroken.pt")
        unbroken.run(12)
        stopped = self.trainer("stopped.pt")
        batches = stopped._batches()
        for _ in range(7):
            stopped.train_step(next(batches), 12)
        stopped._save(12)
        resumed = self.trainer("stopped.pt")
        resumed.run(12)
        for name, weights in unbroken.head.state_dict().items():
            self.assertTrue(torch.equal(weights, resumed.head.state_dict()[name]), name)

    def test_the_loss_falls_at_every_depth(self):
        trainer = self.trainer("falls.pt")
        steps = 200
        deeper = round(RECIPE.first_share * steps)
        losses = [trainer.train_step(batch, steps) for batch, _ in zip(trainer._batches(), range(steps), strict=False)]
        begins = [0] + [deeper] * (DEPTHS - 1)
        early = torch.stack([torch.stack(losses[at : at + 6])[:, depth].mean() for depth, at in enumerate(begins)])
        late = torch.stack(losses[-6:]).mean(0)
        self.assertTrue((late < early).all(), f"{early} {late}")

    def test_a_checkpoint_of_other_settings_is_refused(self):
        self.trainer("other.pt").run(3)
        with self.assertRaisesRegex(Problem, "other settings"):
            self.trainer("other.pt").run(4)

    def test_an_epoch_has_every_sequence_once_in_an_order_of_its_own(self):
        def seen(epoch: int) -> list[tuple[int, ...]]:
            return [tuple(each.tokens.tolist()) for batch in epoch_batches(self.files, 1, epoch, 40) for each in batch]

        self.assertEqual(len(seen(0)), 12)
        self.assertEqual(sorted(seen(0)), sorted(seen(1)))
        self.assertNotEqual(seen(0), seen(1))
        self.assertEqual(seen(1), seen(1))


class ExportTest(unittest.TestCase):
    def test_written_weights_begin_another_head(self):
        with tempfile.TemporaryDirectory() as folder:
            head = toy_head(2)
            path = write_head(Path(folder), "head", head, torch.arange(10), {"licence": "Apache-2.0"})
            other = toy_head(3)
            before = other.layers[2].qkv.clone()
            load_weights(path, other)
            torch.testing.assert_close(other.layers[1].qkv, head.layers[1].qkv, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(other.fc, head.fc, rtol=1e-3, atol=1e-3)
            self.assertTrue(torch.equal(other.layers[2].qkv, before))


if __name__ == "__main__":
    unittest.main()
