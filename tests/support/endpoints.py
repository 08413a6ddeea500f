"""The endpoints of Amazon's partitions and of other servers: how each is configured, and the URLs of its requests."""

from __future__ import annotations

from dataclasses import dataclass, field

PRIVATE_LINK = "https://bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com"


@dataclass(frozen=True)
class Case:
    """What is configured, and the URL of each of NAMES, written as `{}` where all are alike."""

    url: str
    dotted: str | None = None
    region: str = "us-east-1"
    endpoint_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    profile: str = ""
    is_aws: bool = True


def regional(region, domain, service="s3", **more):
    host = f"{service}.{region}.{domain}"
    return Case(f"https://{{}}.{host}/", f"https://{host}/{{}}/", region, **more)


def elsewhere(url, **more):
    return Case(url, is_aws=False, **more)


CASES = {
    "standard": regional("eu-west-1", "amazonaws.com"),
    "us-east-1": Case("https://{}.s3.amazonaws.com/", "https://s3.amazonaws.com/{}/"),
    "us-east-1, regional": regional(
        "us-east-1", "amazonaws.com", environment={"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional"}
    ),
    "China": regional("cn-north-1", "amazonaws.com.cn"),
    "GovCloud": regional("us-gov-west-1", "amazonaws.com"),
    "ISO": regional("us-iso-east-1", "c2s.ic.gov"),
    "ISO B": regional("us-isob-east-1", "sc2s.sgov.gov"),
    "ISO E": regional("eu-isoe-west-1", "cloud.adc-e.uk"),
    "ISO F": regional("us-isof-south-1", "csp.hci.ic.gov"),
    "EU sovereign": regional("eusc-de-east-1", "amazonaws.eu"),
    "a region that botocore does not know": regional("eu-moon-7", "amazonaws.com"),
    "FIPS": regional("us-east-1", "amazonaws.com", "s3-fips", environment={"AWS_USE_FIPS_ENDPOINT": "true"}),
    "FIPS in GovCloud": regional("us-gov-east-1", "amazonaws.com", "s3-fips", profile="use_fips_endpoint = true"),
    "dual stack": regional(
        "eu-west-1", "amazonaws.com", "s3.dualstack", environment={"AWS_USE_DUALSTACK_ENDPOINT": "true"}
    ),
    "dual stack in China": regional("cn-north-1", "amazonaws.com.cn", "s3.dualstack", profile="use_dualstack_endpoint = true"),
    "FIPS and dual stack": regional(
        "us-west-2", "amazonaws.com", "s3-fips.dualstack",
        profile="use_fips_endpoint = true\nuse_dualstack_endpoint = true",
    ),
    "path style": Case(
        "https://s3.eu-west-1.amazonaws.com/{}/", region="eu-west-1", profile="s3 =\n  addressing_style = path"
    ),
    "PrivateLink": Case(f"{PRIVATE_LINK}/{{}}/", endpoint_url=PRIVATE_LINK),
    "PrivateLink in the profile": Case(f"{PRIVATE_LINK}/{{}}/", profile=f"endpoint_url = {PRIVATE_LINK}"),
    "endpoint_url with a port": elsewhere("http://127.0.0.1:9000/{}/", endpoint_url="http://127.0.0.1:9000"),
    "endpoint_url with the default port": elsewhere("https://s3.example.org/{}/", endpoint_url="https://s3.example.org:443/"),
    "endpoint_url with capitals": elsewhere("https://s3.example.org/{}/", endpoint_url="https://S3.Example.org"),
    "endpoint_url with IPv6": elsewhere("http://[::1]:9000/{}/", endpoint_url="http://[::1]:9000"),
    "endpoint_url with a base path": elsewhere("http://gateway:8080/base/path/{}/", endpoint_url="http://gateway:8080/base/path/"),
    "AWS_ENDPOINT_URL": elsewhere("http://one:1/{}/", environment={"AWS_ENDPOINT_URL": "http://one:1"}),
    "AWS_ENDPOINT_URL_S3 before AWS_ENDPOINT_URL": elsewhere(
        "http://two:2/{}/", environment={"AWS_ENDPOINT_URL": "http://one:1", "AWS_ENDPOINT_URL_S3": "http://two:2"}
    ),
    "endpoint_url of the profile": elsewhere("http://three:3/{}/", profile="endpoint_url = http://three:3"),
    "the profile's endpoint_url for S3": elsewhere(
        "http://four:4/{}/",
        profile="endpoint_url = http://three:3\nservices = local\n[services local]\ns3 =\n  endpoint_url = http://four:4",
    ),
    "AWS_ENDPOINT_URL_S3 before the profile": elsewhere(
        "http://two:2/{}/", environment={"AWS_ENDPOINT_URL_S3": "http://two:2"}, profile="endpoint_url = http://three:3"
    ),
    "rehouse's endpoint_url before the environment": elsewhere(
        "http://five:5/{}/", endpoint_url="http://five:5", environment={"AWS_ENDPOINT_URL_S3": "http://two:2"}
    ),
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": regional(
        "eu-west-1", "amazonaws.com", profile="endpoint_url = http://three:3",
        environment={"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL_S3": "http://two:2"},
    ),
}  # fmt: skip
