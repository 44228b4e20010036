"""What every test of this folder needs: an accelerator. They are few, and each builds small models only."""

import pytest
import torch

GPU = torch.device("cuda")
NEEDS_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.timeout(280),
    # Of PyTorch itself: when its compiler is first imported, and where it advises to give precision away.
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*TensorFloat32:UserWarning"),
]
