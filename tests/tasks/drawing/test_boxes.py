"""Boxes of a network that has gone astray: drawn as far as they are in the picture."""

import types

import numpy as np

from mtljax.tasks.drawing.boxes import outline
from mtljax.tasks.drawing.trails import draw_tracks


def test_of_a_box_far_beyond_the_picture_its_edges_are_not_walked():
    drawn = []
    pen = types.SimpleNamespace(
        im=types.SimpleNamespace(size=(40, 20)), rectangle=lambda corners, **_: drawn.append(corners)
    )
    outline(pen, np.float32([5, -3e38, 1e20, 12]), (1, 2, 3))  # of which Pillow would draw 1e20 pixels
    assert drawn == [(5.0, -8.0, 48.0, 12.0)]


def test_numbers_of_tracks_far_beyond_the_picture_are_left_out_of_it():
    boxes = np.float32([[[[1e30, 1e30, 2e30, 2e30], [1, 1, 9, 9]]]])
    picture = draw_tracks(np.zeros((1, 1, 192, 192, 3)), boxes, np.array([[[1, 2]]]))
    assert picture[0, 0, 1:10, 1].any()
    assert not picture[0, 0, 100:].any()
