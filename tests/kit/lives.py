"""A long stretch of life: people do what they are likely to, and their devices come and go."""

from datetime import timedelta
from random import Random

from tests.kit.likely import likely
from tests.kit.machine import DEVICES, Device, Machine


def live(machine: Machine, chance: Random, steps: int) -> None:
    """So many things happen, and then everything is looked at."""
    first = machine.people[0]
    for person in machine.people:
        machine.connect(machine.devices[person, "phone"])
    rules = {"joining": chance.choice(["request", "open"]), "history": chance.choice(["joined", "all"])}
    machine.do(machine.devices[first, "phone"], "group.create", title="Choir", members=machine.people[1:3], rules=rules)
    for _ in range(steps):
        if chance.random() < 0.8:
            user, name, fields = likely(machine.model, machine.people, chance)
            machine.do(machine.devices[user, chance.choice(DEVICES)], name, **fields)
        else:
            _come_and_go(machine, machine.devices[chance.choice(machine.people), chance.choice(DEVICES)], chance)
    finish(machine)


def finish(machine: Machine) -> None:
    """Every device catches up, and everybody reads everything."""
    for device in machine.devices.values():
        machine.pull(device, 100)
    for person in machine.people:
        machine.compare(person)
    assert machine.chat.failed == []


def _come_and_go(machine: Machine, device: Device, chance: Random) -> None:
    match chance.randrange(6):
        case 0 | 1:
            if device.connection is None:
                machine.connect(device, acknowledged=chance.random() < 0.5)
            else:
                machine.disconnect(device)
        case 2:
            machine.pull(device, chance.randrange(1, 10))
        case 3:
            machine.acknowledge(device)
        case 4:
            machine.again(chance.choice(machine.done), device.name)
        case _:
            machine.chat.now += timedelta(minutes=chance.randrange(60))
            machine.model.now = machine.chat.now
