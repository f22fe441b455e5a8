"""Everything together: engine, stand-in for Whop, pictures, the platform's receiving end and the deployed template, on
free or on agreed ports."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop
from local_stack.announced import ANNOUNCEMENT_SECRET, AnnouncementReceiver, running_announcement_receiver
from local_stack.asking_whop import WhopAccess
from local_stack.deployment import Deployment, deploy
from local_stack.engine import running_engine
from local_stack.pictures import PictureServer, running_pictures
from local_stack.places import Places
from local_stack.sending import SECRET
from local_stack.terminal import Terminal
from local_stack.whop_webhooks import connect


@dataclass(frozen=True, slots=True)
class LocalStack:
    """`built` is the folder that `sam build` wrote. `fake` also runs, unasked, where `whop` is Whop's sandbox."""

    built: Path
    deployment: Deployment
    whop: WhopAccess
    fake: FakeWhop
    pictures: PictureServer
    announced: AnnouncementReceiver


@contextmanager
def running_stack(
    terminal: Terminal,
    built: Path,
    *,
    name: str,
    places: Places | None = None,
    sandbox: WhopAccess | None = None,
    more_parameters: Mapping[str, str] | None = None,
    signing_secret: str = SECRET,
) -> Iterator[LocalStack]:
    """Starts everything and deploys what `build` wrote; ends it all at the end of the block.

    `more_parameters` are the template's, beside those that join the parts.
    """
    places = places or Places()
    with (
        FakeWhop(host=places.host, port=places.whop, upload_port=places.uploads) as fake,
        running_pictures(host=places.host, port=places.pictures) as pictures,
        running_announcement_receiver(host=places.host, port=places.announcements) as announced,
    ):
        if sandbox:
            whop, parameters = sandbox, {}
        else:
            whop = WhopAccess(fake.api_url, PLATFORM_COMPANY, PLATFORM_KEY)
            parameters = {"WhopApiUrl": fake.api_url, "PictureAllowedOrigin": pictures.origin}
        with ExitStack() as running:
            with terminal.step("starting a local AWS"):
                engine = running.enter_context(running_engine(host=places.host, port=places.engine))
            with terminal.step("deploying template.yaml to it"):
                deployment = deploy(
                    engine,
                    built,
                    stack=name,
                    signing_secrets=[signing_secret],
                    whop_api_key=whop.api_key,
                    announcement_secrets=[ANNOUNCEMENT_SECRET],
                    parameters={
                        "WhopEnvironment": "sandbox",
                        "WhopCompanyId": whop.company_id,
                        "PlatformUrl": announced.url,
                        "PlatformAllowedOrigin": announced.origin,
                        **parameters,
                        **(more_parameters or {}),
                    },
                )
            if not sandbox:
                connect(fake, deployment)
            yield LocalStack(built, deployment, whop, fake, pictures, announced)
