"""The life of a website: provision, suspend, resume, delete."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.backups import BackupActivities
    from activities.dns import DnsActivities
    from activities.websites import WebsiteActivities

from workflows.engine.job import JobWorkflow, job_workflow
from workflows.engine.steps import Step
from workflows.queues import BACKUPS, HOSTING, POWERDNS, STORIES

PLACE_WEBSITE = Step(
    "place_website",
    "Choose a server with room",
    WebsiteActivities.place_website,
    STORIES,
    undo=WebsiteActivities.release_website,
    undo_summary="Give the room on the server back",
)
CREATE_SITE = Step(
    "create_site",
    "Create the site on the hosting server",
    WebsiteActivities.create_site,
    HOSTING,
    undo=WebsiteActivities.delete_site,
    undo_summary="Delete the site on the hosting server",
)
CREATE_RECORD = Step(
    "create_record",
    "Lead the name to the server",
    DnsActivities.create_record,
    POWERDNS,
    undo=DnsActivities.delete_record,
    undo_summary="Take the DNS record away",
)
DEPLOY_STARTER = Step(
    "deploy_starter",
    "Put the starter page there",
    WebsiteActivities.deploy_starter,
    HOSTING,
)
GO_LIVE = Step(
    "go_live",
    "Look at the site from outside, then call it active",
    WebsiteActivities.go_live,
    HOSTING,
)
BEGIN_REMOVAL = Step(
    "begin_removal",
    "Take the website out of service",
    WebsiteActivities.begin_removal,
    STORIES,
)
STOP_BACKUPS = Step(
    "stop_backups",
    "Stop its daily backups; kept archives stay until they expire",
    BackupActivities.stop_backups,
    BACKUPS,
)
DELETE_RECORD = Step(
    "delete_record",
    "Take the DNS record away",
    DnsActivities.delete_record,
    POWERDNS,
    if_skipped="Only right if the zone or the name server is gone for good, or the"
    " record was taken away by hand.",
    leaves=frozenset({"record"}),
)
DELETE_SITE = Step(
    "delete_site",
    "Delete the site on the hosting server",
    WebsiteActivities.delete_site,
    HOSTING,
    if_skipped="Only right if the server is gone for good, or the site was deleted by"
    " hand: the website counts as terminated, wherever its files are.",
    leaves=frozenset({"site"}),
)
END_REMOVAL = Step(
    "end_removal",
    "Write down that nothing is left",
    WebsiteActivities.end_removal,
    STORIES,
)
SUSPEND_SITE = Step(
    "suspend_site",
    "Move the site aside and show a notice",
    WebsiteActivities.suspend_site,
    HOSTING,
)
RESUME_SITE = Step(
    "resume_site",
    "Move the site back into its place",
    WebsiteActivities.resume_site,
    HOSTING,
)


@job_workflow(name="ProvisionWebsite")
class ProvisionWebsite(JobWorkflow):
    """Turns a paid item into a website that answers, or leaves nothing behind."""

    STEPS = (PLACE_WEBSITE, CREATE_SITE, CREATE_RECORD, DEPLOY_STARTER, GO_LIVE)

    async def story(self) -> None:
        await self.step(PLACE_WEBSITE)
        async with self.group() as group:
            group.start(self._site())
            group.start(self.step(CREATE_RECORD))
        await self.step(GO_LIVE)

    async def _site(self) -> None:
        await self.step(CREATE_SITE)
        await self.step(DEPLOY_STARTER)


@job_workflow(name="DeleteWebsite")
class DeleteWebsite(JobWorkflow):
    """Takes a website away until nothing of it is left but its archives."""

    STEPS = (BEGIN_REMOVAL, STOP_BACKUPS, DELETE_RECORD, DELETE_SITE, END_REMOVAL)

    async def story(self) -> None:
        await self.step(BEGIN_REMOVAL)
        async with self.group() as group:
            group.start(self.step(STOP_BACKUPS))
            group.start(self.step(DELETE_RECORD))
            group.start(self.step(DELETE_SITE))
        await self.step(END_REMOVAL)


@job_workflow(name="SuspendWebsite")
class SuspendWebsite(JobWorkflow):
    """Shows a notice instead of the site; nothing is deleted."""

    STEPS = (SUSPEND_SITE,)


@job_workflow(name="ResumeWebsite")
class ResumeWebsite(JobWorkflow):
    """Brings a suspended site back."""

    STEPS = (RESUME_SITE,)
