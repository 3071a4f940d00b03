"""What the columns of inventories are called, field by field.

Variants are compared by their words, whatever their case, separators, plural and order; short forms stand in the dictionary's
WORDS only, so that "Num of CPUs" and "cpu_count" need no entry of their own. A field is called by its own name as well.
"""

from __future__ import annotations


def _variants(table: str) -> dict[str, tuple[str, ...]]:
    """The variants by field, from lines "field: variant, variant"; an indented line goes on with the one before."""
    lines = table.replace("\n    ", " ").strip().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {field: tuple(each.strip() for each in variants.split(",")) for field, variants in pairs}


#: Headings that mean the field and hardly anything else.
CLEAR = _variants("""
asset_name: resource name, display name, asset title, asset label, equipment name, item name, inventory name
hostname: server name, machine name, computer name, node name, netbios name, short hostname, workstation name, pc name
asset_type: resource type, asset category, asset class, ci type, ci class, ci category, configuration item type,
    configuration item class, device type, item type, object type, equipment type, sys class name, class name
external_id: asset id, asset number, ci id, ci number, sys id, cmdb id, record id, resource id, unique id,
    configuration item id, inventory id, inventory number, external key, external reference, source id, source system
    id, object id, instance id, device id, machine id, vm id, uuid, guid, arn
description: desc, details, short description, long description
fqdn: fully qualified domain name, fully qualified name, fully qualified hostname, full hostname, full computer name,
    dns name, dns hostname
ip_address: ip, primary ip, primary ip address, main ip address, current ip address, ipv4, ipv6, ip v4 address, ip v6
    address, network address, internet address, internet protocol address, ip number
mac_address: mac, primary mac address, mac id, ethernet address, hardware address, media access control address
security_zone: network zone, firewall zone, trust zone, security domain, security segment
operating_system: os, os name, os type, os family, os platform, os edition, os distribution, os distro, os caption, os
    full name, guest os, os name and version, os and version
os_version: os ver, os release, os build, os build number, os level, os patch level, os version number, os release
    version, guest os version, kernel version
cpu_cores: cpu, vcpu, core, processor, cpu count, core count, vcpu count, processor count, cpu core count, logical
    processors, logical cores, physical cores, virtual cpu, virtual cores, number of logical processors, number of
    virtual cpu, total cores, total cpu
memory_gb: ram, memory, memory size, total memory, physical memory, installed memory, memory capacity, memory amount,
    system memory, main memory, allocated memory, provisioned memory, configured memory, assigned memory, total
    physical memory, installed physical memory, memory allocation
storage_gb: disk, storage, disk size, disk space, disk capacity, storage size, storage space, storage capacity, total
    storage, total disk, total disk size, total disk space, total disk capacity, hard disk, hard drive, hard disk
    size, hdd, hdd size, hdd capacity, local disk, local storage, drive size, drive capacity, provisioned storage,
    provisioned disk, provisioned space, allocated storage, allocated disk, attached storage, storage allocation
virtualization_type: virtualization, virtualization platform, virtualization technology, hypervisor, hypervisor type,
    physical or virtual, is virtual
serial_number: serial, sn, service tag, chassis serial, chassis serial number, hardware serial, hardware serial
    number, bios serial number
manufacturer: mfr, make, oem, brand, maker, hardware vendor, hardware manufacturer, hardware make, manufactured by
model: model name, model number, model id, hardware model, product model, chassis model, make and model
server_role: role, server function, server purpose, host role, server usage
environment: env, stage, deployment environment, environment type, environment name, deployment stage, landscape
location: loc, site, site name, site code, location name, location code, physical location, geographic location, city,
    region
datacenter: dc, data center name, data center code, data center location, centre de donnees, centro de datos, hosting
    facility, colo
rack_location: rack, rack position, rack number, rack name, rack id, rack slot, rack unit, rack u, cabinet, cabinet
    number, cabinet position, u position, u location
availability_zone: az, avail zone, cloud zone
business_owner: owner, owner name, business contact, responsible party, application owner, service owner, product
    owner, asset owner, owned by, business responsible, business sponsor
technical_owner: technical contact, technical lead, technical responsible, technical manager, it owner, it contact, it
    lead, system administrator, sys admin, sme, technical sme, custodian, system custodian, technical custodian,
    infrastructure owner
department: dept, division, department name, org unit, organizational unit, organization unit, owning department
business_unit: bu, lob, line of business, business line, business division, business group, business segment
vendor: supplier, vendor name, supplier name, software vendor, application vendor, publisher, software publisher
cost_center: cost code, cost center code, cost center number, cost center name, cost center id, charge code,
    chargeback code, billing code, budget code
application_name: application, application title, business application, hosted application, application service,
    installed application, primary application, supported application, associated application, related application
technology_stack: technology, tech, tech stack, stack, software stack, application stack, application technology,
    technical stack
criticality: importance, critical level, criticality level, criticality rating, criticality class, criticality tier
business_criticality: business critical, business impact, business importance, business priority, business criticality
    level, business impact level, business impact rating, business criticality rating
status: current status, current state, asset status, asset state, ci status
operational_status: operating status, operation status, operational state, power state, power status, run state, run
    status, running state, running status, vm state, vm status, instance state, instance status, in service
support_group: support team, assignment group, assigned group, supported by, supported by group, supported by team,
    support organization, resolver group, resolver team, operations team, operations group, responsible team,
    responsible group, support queue, it team, owning team, owner team, owner group, owning group, managed by group
application_type: application category, application class, software type, software category
lifecycle: lifecycle stage, lifecycle phase, lifecycle state, lifecycle status
hosting_model: hosting, hosting type, hosting platform, deployment model, deployment type, delivery model, cloud
    model, cloud or on prem, cloud or on premises
database_type: database engine, database platform, database technology, database product, database software, database
    vendor, database management system, dbms, rdbms, dbms type, sql engine
database_version: database release, dbms version, rdbms version, database engine version, database software version
database_size_gb: database size, database storage, database capacity, database storage size, total database size
pii_flag: pii, contains pii, has pii, is pii, pii data, pii present, pii indicator, holds pii, stores pii, contains
    personal data, personal data, personally identifiable information
data_classification: data class, data sensitivity, data sensitivity level, data classification level, information
    classification, information class, security classification, data confidentiality, sensitivity level
compliance_requirements: compliance, compliance scope, compliance framework, compliance standard, compliance need,
    regulation, regulatory, regulatory requirements, regulatory compliance, regulatory scope, regulatory framework
backup_schedule: backup, backup frequency, backup policy, backup plan, backup interval, backup cycle, backup window
maintenance_window: change window, patch window, patching window, service window, maintenance slot, maintenance
    schedule, patch schedule, patching schedule, outage window, downtime window
risk_level: risk, risk rating, risk category, risk class, risk classification, risk tier, overall risk
asset_tags: tags, tag list, labels, keywords, resource tags, ci tags, asset labels, cloud tags
six_r_strategy: 6 r, 6 rs, 6 r strategy, six r, 6 r disposition, 6 r treatment, 6 r recommendation, recommended 6 r, r
    strategy, 7 r, 7 r strategy, 7 r disposition, migration strategy, migration disposition, migration treatment,
    migration approach, disposition
migration_priority: migration rank, migration order, move priority
migration_complexity: complexity, complexity level, complexity rating, complexity score, migration difficulty
migration_wave: wave, wave number, wave name, move wave, move group, migration group, migration batch
cpu_utilization_percent: cpu utilization, cpu percent, cpu load, cpu usage, cpu used, cpu used percent, processor
    utilization, processor usage, cpu busy
memory_utilization_percent: memory utilization, memory percent, memory load, memory usage, memory used percent
disk_iops: iops, io per second, io operations per second, disk io, storage iops, total iops, disk operations per
    second, read write iops
network_throughput_mbps: network throughput, throughput, network mbps, network bandwidth, bandwidth, bandwidth mbps,
    throughput mbps, network traffic, network io, network usage, network usage mbps
current_monthly_cost: monthly cost, monthly run cost, monthly spend, monthly charge, monthly expense, monthly
    operating cost, current cost, total monthly cost, monthly hosting cost, monthly infrastructure cost
estimated_cloud_cost: cloud cost, projected cloud cost, estimated monthly cloud cost, target cloud cost, forecast
    cloud cost, cloud cost estimate, monthly cloud cost, cloud run cost, estimated aws cost, estimated azure cost,
    estimated gcp cost, aws cost, azure cost, gcp cost, expected cloud cost
purchase_date: purchased, purchased on, date purchased, acquisition date, acquired on, acquired date, date acquired,
    procurement date
warranty_end: warranty, warranty end date, warranty expiry, warranty expiry date, warranty until, warranty date
last_seen: last seen date, last discovered, last discovery, last discovery date, last scan, last scanned, last scan
    date, last contact, last check in, last online, last communication, last inventory, last inventory date, last
    reported, last heartbeat, most recent discovery
depends_on: dependency, dependent on, depends, depends upon, relies on, upstream, upstream dependency, upstream
    system, upstream application, application dependency, server dependency, dependency list
""")

#: Headings that mean the field more often than another one, or than none.
LOOSE = _variants("""
name: ci, ci name, ci label, configuration item, configuration item name, vm, vm name, device name, instance name,
    component name, database name, system name, server name, machine name, computer name, node name, asset name,
    display name, resource name, nombre
asset_name: asset, ci name, resource, title, label, friendly name, object name, entity name, component
hostname: host, server, machine, computer, node, workstation, device, device name, vm, vm name, guest name, instance
    name, system name
asset_type: type, category, class, kind, device category, device class, component type, system type, machine type
external_id: id, identifier, reference, application id, asset tag, asset code, component id, server id, host id, host
    uuid, system id, bios uuid, vm uuid
description: comment, note, remark, annotation, summary, purpose, additional information
fqdn: domain name, canonical name, dns entry, dns record, dns
ip_address: private ip, private ip address, internal ip, internal ip address, local ip, local ip address, lan ip, host
    ip, host ip address
mac_address: physical address, nic address, nic mac, nic mac address
security_zone: zone, dmz, network segment, network tier
operating_system: platform, distribution, distro, system software, windows or linux
os_version: version, firmware, firmware version, kernel, build, release, build number
storage_gb: capacity, volume size, provisioned, ssd, ssd size
virtualization_type: virtual, vm type, virtual machine, hypervisor platform, platform type
manufacturer: vendor manufacturer, producer
model: product, product name
server_role: function, workload, workload type, usage, server type, primary function
environment: tier name, sdlc, sdlc stage, usage environment
location: country, building, campus, branch, office, geo, geography, area, cloud region, aws region, azure region
datacenter: facility, hosting location, hosting site
rack_location: slot, shelf, room and rack
availability_zone: zone, placement zone
business_owner: executive owner, sponsor, accountable, primary contact, contact, responsible, stakeholder, contact
    person
technical_owner: system owner, server owner, host owner, hostname owner, platform owner, database administrator, dba,
    administrator, admin, engineer, managed by, assigned to, support contact, it manager
department: organization, org, function department
business_unit: company, business area, entity, legal entity
vendor: provider, service provider, reseller, cloud provider
cost_center: cc, gl code, account code
application_name: service, service name, business service, software, software name, installed software, workload name
technology_stack: framework, programming language, language, middleware, runtime, development platform
criticality: priority, tier, severity, critical, service tier, application tier, mission critical, business tier
business_criticality: bia rating, business value
status: state, migration status, discovery status, assessment status, record status, record state, install status
operational_status: state, health, health status, availability status, production status, usage status, usage state
support_group: team, support, support owner, queue, admin team, admin group
application_type: cots or custom, package or custom
lifecycle: phase, maturity, end of life status
hosting_model: hosting environment, hosting location type, hosted on, hosting provider, service model
database_type: database, database edition, sql version, base de donnees, base de datos
data_classification: classification, sensitivity, data category
compliance_requirements: standard, audit scope
backup_schedule: backup type, backup job, backup time
risk_level: risk score, risk assessment, risk factor
asset_tags: tag
six_r_strategy: strategy, treatment, cloud strategy, recommended strategy, migration path, migration recommendation
migration_priority: migration sequence, move order
migration_complexity: difficulty, migration effort, technical complexity
migration_wave: batch, migration phase, bundle, move bundle
network_throughput_mbps: network speed, nic speed, network utilization
current_monthly_cost: cost, run cost, operating cost, hosting cost, on prem cost, monthly
estimated_cloud_cost: estimated cost, projected cost, target cost, future cost, expected cost
purchase_date: order date, in service date
warranty_end: support end date
last_seen: last sync, last logon, last login, last boot
depends_on: requires, related ci, related system, connected to, linked system, relationship
""")

#: Headings that say too little; they mean the field when the values have its shape.
BY_VALUES = _variants("""
ip_address: address, addr, network, endpoint, node address, host address
mac_address: address, addr, adapter, nic
fqdn: url, endpoint, dns domain
storage_gb: disks, hdds, number of disks
""")
