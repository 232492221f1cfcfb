import a2g_toys as toys
import numpy as np
import pytest
import torch

from omniges.model.hyper_connections import HyperConnection, collapse, expand


def oracle(h, branch, connection):
    """Hyper-Connections, equations 1 to 5 and 10 to 13, token by token in float64.

    h: [R, C] streams. The (R+1) x (R+1) matrix HC = [[0, B], [A_m, A_r]] acts on the streams.
    """
    p = {name: value.detach().double().numpy() for name, value in connection.named_parameters()}
    mean, var = h.mean(1, keepdims=True), h.var(1, keepdims=True)
    normed = (h - mean) / np.sqrt(var + 1e-5) * p["norm.weight"]
    dynamic = np.tanh(normed @ p["dynamic.weight"].T)
    alpha = p["static_alpha"] + p["alpha_scale"] * dynamic[:, :-1]
    beta = p["static_beta"] + p["beta_scale"] * dynamic[:, -1]
    streams, width = h.shape
    h_0 = sum(alpha[r, 0] * h[r] for r in range(streams))
    passed = np.zeros((streams, width))
    for to in range(streams):
        for of in range(streams):
            passed[to] += alpha[of, 1 + to] * h[of]
    return passed + beta[:, None] * branch(h_0)


@pytest.mark.parametrize("streams", [2, 4])
def test_equals_the_papers_equations(streams):
    connection = toys.jitter(HyperConnection(6, streams, index=1), scale=1.0)
    torch.manual_seed(2)
    x = torch.randn(2, 3, streams, 6)
    branch, passed, beta = connection.read(x)
    got = connection.write(passed, beta, torch.sin(branch)).detach().numpy()
    want = np.array([[oracle(token, np.sin, connection) for token in row] for row in x.double().numpy()])
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_reading_alone_reads_the_same():
    both, alone = HyperConnection(6, 3, index=2), HyperConnection(6, 3, index=2, writes=False)
    x = torch.randn(2, 3, 3, 6)
    torch.testing.assert_close(both.read(x)[0], alone.read(x)[0])
    assert {name for name, _ in alone.named_parameters()}.isdisjoint({"static_beta", "beta_scale"})


def test_one_stream_is_the_ordinary_residual():
    connection = HyperConnection(6, 1, index=0)
    x = torch.randn(2, 3, 6)
    branch, passed, beta = connection.read(expand(x, 1))
    assert torch.equal(branch, x)
    assert torch.equal(collapse(connection.write(passed, beta, branch.sin())), x + x.sin())
    assert not list(connection.parameters())


def test_fresh_streams_make_the_same_network_as_one_stream():
    """Before training, R equal streams carry what one carries, R times; the last norm divides it out."""
    one, four = toys.model(residual_streams=1), toys.model(residual_streams=4)
    own = one.state_dict()
    four.load_state_dict({name: own.get(name, value) for name, value in four.state_dict().items()})
    x_t, t, heard = torch.randn(2, 8, 1660), torch.rand(2), toys.heard()
    given = torch.arange(8).expand(2, -1) < 3
    got = four.states(x_t, t, given, four.listen(heard))
    torch.testing.assert_close(got, one.states(x_t, t, given, one.listen(heard)), atol=2e-4, rtol=1e-4)
