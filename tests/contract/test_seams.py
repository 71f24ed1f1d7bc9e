"""Each implementation has every method of its seam, with the arguments that the seam names."""

from zope.interface.verify import verifyObject

from chatd.interfaces.conversations import IAnnouncementStore, IConversationStore, IGroupStore, IReadingStore
from chatd.interfaces.epochs import IEpochs
from chatd.interfaces.keys import IKeyCare, IKeyStore
from chatd.interfaces.log import ILog, ILogStore
from chatd.interfaces.messages import ISearchStore
from chatd.interfaces.presence import IPresenceStore
from tests.kit.writing import Writing


def test_the_stores_are_what_they_say_they_are(stores):
    assert verifyObject(ILogStore, stores.log)
    assert verifyObject(IConversationStore, stores.conversations)
    assert verifyObject(IKeyStore, stores.keys)
    assert verifyObject(IKeyCare, stores.keys)
    assert verifyObject(IReadingStore, stores.reading)
    assert verifyObject(IGroupStore, stores.groups)
    assert verifyObject(IAnnouncementStore, stores.announcements)
    assert verifyObject(IPresenceStore, stores.presence)
    assert verifyObject(ISearchStore, stores.search)


def test_the_epochs_are_what_they_say_they_are(epochs):
    assert verifyObject(IEpochs, epochs)


def test_the_log_writer_is_a_log(stores):
    assert verifyObject(ILog, Writing(stores.log).writer)
