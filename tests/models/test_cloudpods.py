"""What a CloudPod and its saves may be named."""

import pytest

from models.cloudpods import save_name
from models.errors import Invalid


@pytest.mark.parametrize("name", ["current", "Pending", "vzdump", "a", "1st", "a b"])
def test_a_save_has_no_name_that_proxmox_would_refuse(name: str) -> None:
    with pytest.raises(Invalid):
        save_name(name, field="name")


@pytest.mark.parametrize("name", ["nightly", "before-2_0", "currently"])
def test_any_other_name_is_kept_as_it_is(name: str) -> None:
    assert save_name(name, field="name") == name
