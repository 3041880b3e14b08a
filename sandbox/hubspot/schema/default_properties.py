"""The contact properties of a new portal: those of HubSpot's own that matter here."""

from typing import Any, Final

GROUP: Final = "contactinformation"

LIFECYCLE_STAGES: Final = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)


def _property(
    name: str, label: str, kind: str = "string", field: str = "text", *, read_only: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": kind,
        "fieldType": field,
        "groupName": GROUP,
        "hubspotDefined": True,
        "modificationMetadata": {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": read_only},
        **more,
    }


def _options(values: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"label": value, "value": value, "displayOrder": order, "hidden": False} for order, value in enumerate(values)
    ]


DEFAULT_PROPERTIES: Final = (
    _property("email", "Email"),
    _property("firstname", "First Name"),
    _property("lastname", "Last Name"),
    _property("phone", "Phone Number", field="phonenumber"),
    _property("mobilephone", "Mobile Phone Number", field="phonenumber"),
    _property("company", "Company Name"),
    _property("jobtitle", "Job Title"),
    _property("website", "Website URL"),
    _property("address", "Street Address"),
    _property("city", "City"),
    _property("state", "State/Region"),
    _property("zip", "Postal Code"),
    _property("country", "Country/Region"),
    _property("lifecyclestage", "Lifecycle Stage", "enumeration", "radio", options=_options(LIFECYCLE_STAGES)),
    _property("hs_additional_emails", "Additional email addresses", "enumeration", "checkbox"),
    _property("createdate", "Create Date", "datetime", "date", read_only=True),
    _property("lastmodifieddate", "Last Modified Date", "datetime", "date", read_only=True),
    _property("hs_object_id", "Record ID", "number", "number", read_only=True),
    _property("hs_all_contact_vids", "All vids for a contact", "enumeration", "checkbox", read_only=True),
    _property("hs_merged_object_ids", "Merged record IDs", "enumeration", "checkbox", read_only=True),
    _property("hs_email_domain", "Email Domain", read_only=True),
    _property("hs_is_contact", "Is a contact", "bool", "booleancheckbox", read_only=True),
    _property("hs_is_unworked", "Contact unworked", "bool", "booleancheckbox", read_only=True),
    _property("hs_marketable_status", "Marketing contact status", "bool", "booleancheckbox", read_only=True),
    _property("hs_object_source", "Record source", read_only=True),
    _property("hs_object_source_id", "Record source ID", read_only=True),
    _property("hs_object_source_label", "Record source", read_only=True),
    _property("hs_pipeline", "Pipeline", "enumeration", "select", read_only=True),
)
