"""Which words say what kind of asset something is, and how much each of them says.

The tables are in the order in which people read them; a phrase that stands twice counts where it stands first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sense:
    """A type of asset, and how much says that it is one."""

    asset_type: str
    weight: int


# How much a word says. Of several words in one text the heaviest decides, and of equally heavy ones the last, as the last
# word of a compound is what the thing is: a "SAN switch" is a switch, a "web server" a server, a "docker host" a host.
DEVICE = 4  # a box with one purpose, whatever it is connected with
PARTICULAR = 3  # says more than that it is a machine
MACHINE = 2  # says what sort of machine it is
GENERIC = 1  # is in the names of many things
SILENT = 0  # looks like a word of a type and is none

#: Words in names: the type, how much they say, and the words, in any language.
NAME_WORDS = (
    ("", SILENT, "san francisco, san jose, san diego, san antonio, san juan, san marino, san salvador, san luis, san mateo"),
    ("", SILENT, "san pedro, san sebastian, san miguel, san remo"),
    ("network", DEVICE, "switch, sw, netzwerkswitch, commutateur, router, rtr, routeur, firewall, fw, pare feu, access point"),
    ("network", DEVICE, "AccessPoint, wireless controller, WLAN controller, wlc, FortiGate, pfSense, OPNsense, Meraki"),
    ("network", DEVICE, "MikroTik, UniFi, palo alto, waf, web application firewall, vpn concentrator, virtual switch"),
    ("network", DEVICE, "distributed switch, internet gateway, nat gateway, sdwan, sd wan, intrusion detection"),
    ("network", DEVICE, "intrusion prevention"),
    ("load_balancer", DEVICE, "load balancer, LoadBalancer, load balancing, lb, slb, alb, nlb, elb, gslb, ltm, big ip, f5"),
    ("load_balancer", DEVICE, "bigip, NetScaler, HAProxy, application gateway, lastverteiler, repartiteur de charge"),
    ("load_balancer", DEVICE, "elastic load balancing, application delivery controller, kemp, LoadMaster"),
    ("security_group", DEVICE, "security group, SecurityGroup, nsg, sicherheitsgruppe, groupe de securite, firewall rule"),
    ("security_group", DEVICE, "firewall policy, network acl"),
    ("container", DEVICE, "container, conteneur"),
    ("database", DEVICE, "container database"),
    ("other", DEVICE, "kvm switch, kvm console, light switch, patch panel, PatchPanel, network printer, netzwerkdrucker"),
    ("other", PARTICULAR, "printer, drucker, imprimante, plotter, pdu, ups, usv, laptop, notebook, workstation, ip phone"),
    ("other", PARTICULAR, "power distribution unit, uninterruptible power supply, badge reader, thin client"),
    ("database", PARTICULAR, "database, db, dbs, sql, oracle, MySQL, MariaDB, maria db, mssql, SQLite, SQLServer, postgres"),
    ("database", PARTICULAR, "PostgreSQL, postgre, pgsql, pg, MongoDB, mongo, cassandra, redis, ora, sybase, hana, teradata"),
    ("database", PARTICULAR, "CouchDB, couchbase, InfluxDB, DynamoDB, CosmosDB, neo4j, rds, informix, greenplum, memsql"),
    ("database", PARTICULAR, "data warehouse, DataWarehouse, dwh, NoSQL, dbms, rdbms, sql server, dbserver, database server"),
    ("database", PARTICULAR, "datenbank, datenbankserver, bdd, base de donnees, bases de donnees"),
    ("storage", PARTICULAR, "storage, san, nas, disk, volume, lun, filer, NetApp, isilon, DataStore, bucket, disk array"),
    ("storage", PARTICULAR, "tape library, tape, bandbibliothek, object store, blob store, file share, FileShare"),
    ("storage", PARTICULAR, "storage server, storage account, data lake, DataLake, speicher, speichersystem, stockage"),
    ("storage", PARTICULAR, "baie de stockage, disque, festplatte, efs, ebs, vsan, 3par, PowerStore, PowerVault"),
    ("virtual_machine", MACHINE, "virtual machine, VirtualMachine, vm, vms, virtual server, virtual desktop"),
    ("virtual_machine", MACHINE, "virtual appliance, machine virtuelle, virtuelle maschine, virtueller server"),
    ("virtual_machine", MACHINE, "serveur virtuel, vdi, ec2, lpar"),
    ("container", MACHINE, "docker, kubernetes, kube, k8s, podman, OpenShift, aks, eks, gke"),
    ("server", DEVICE, "container host, container node, container server"),
    ("server", MACHINE, "host, node, hypervisor, esx, esxi, domain controller, bastion, jumphost, jumpbox, mainframe"),
    ("server", MACHINE, "bare metal, blade server, docker server, kubernetes worker, kubernetes master, k8s worker"),
    ("server", MACHINE, "k8s master, webserver, appserver, fileserver, mailserver, printserver, file server, mail server"),
    ("server", MACHINE, "print server"),
    ("container", GENERIC, "pod"),
    ("server", GENERIC, "server, srv, svr, serveur, blade"),
    ("network", GENERIC, "network, netzwerk, reseau, gateway, gw, vpn, wifi, wlan, lan, wan, vlan, proxy, hub, subnet, vpc"),
    ("network", GENERIC, "mpls"),
    ("component", GENERIC, "component, komponente, composant, module, library, plugin, middleware, microservice, queue"),
    ("component", GENERIC, "broker, kafka, RabbitMQ, ActiveMQ, message bus, esb, tomcat, nginx, WebSphere, WebLogic, JBoss"),
    ("component", GENERIC, "WildFly, NodeJs, backend, frontend, exporter, memcached, cache, connector, adapter, daemon, agent"),
    ("application", GENERIC, "app, application, appl, service, api, web, portal, portail, system, platform, tool, suite"),
    ("application", GENERIC, "software, crm, erp, hr, analytics, email, mail, backup, monitoring, pipeline, dashboard"),
    ("application", GENERIC, "website, webapp, intranet, extranet, wiki, console, reporting, manager, management, client"),
    ("application", GENERIC, "tracker, scheduler, helpdesk, payroll, billing, invoicing, webshop, shop, cms, cmdb, lms, wms"),
    ("application", GENERIC, "plm, saas, sap, SharePoint, jira, confluence, jenkins, GitLab, GitHub, ServiceNow, SalesForce"),
    ("application", GENERIC, "grafana, splunk, api gateway, payment gateway, sms gateway, data hub, event hub, anwendung"),
    ("application", GENERIC, "applikation, programm, werkzeug, logiciel, outil, plattform, plateforme, vCenter, oracle ebs"),
    ("application", GENERIC, "oracle financials, google chrome, firefox, microsoft office, office 365, acrobat"),
)  # fmt: skip
# Words that mean a type where a type is asked for, and something else or nothing in a name.
KIND_WORDS = (
    ("", SILENT, "cmdb ci, configuration item, sw"),
    ("network", DEVICE, "core sw, access sw, tor sw, network sw"),
    ("network", GENERIC, "ap, NetGear, bridge, circuit, wireless, nic, network interface, ip address, network gear"),
    ("network", GENERIC, "transceiver, vnet"),
    ("security_group", DEVICE, "sg"),
    ("other", GENERIC, "desktop, pc, phone, telephone, smartphone, tablet, monitor, scanner, camera, rack, chassis"),
    ("other", GENERIC, "enclosure, peripheral, facility, cable, license, licence, lizenz, certificate, zertifikat, contract"),
    ("other", GENERIC, "document, thermostat, sensor, iot, projector, electrical, other, sonstige, sonstiges, autre"),
    ("database", PARTICULAR, "schema, catalog, tablespace"),
    ("virtual_machine", GENERIC, "instance, virtual, virtuell, virtuelle, guest"),
    ("virtual_machine", MACHINE, "vm instance, vmware instance"),
    ("container", MACHINE, "kubernetes cluster, pod, container service, fargate"),
    ("server", GENERIC, "cluster, physical, windows, linux, unix, aix, solaris, hyper v"),
    ("component", GENERIC, "interface, integration, job, function, lambda, message queue, topic, endpoint"),
    ("application", GENERIC, "application service, business service, program, business capability"),
)  # fmt: skip
#: Words in the names of manufacturers and models.
HARDWARE_WORDS = (
    ("network", DEVICE, "catalyst, nexus, meraki, isr, asr, asa, FirePower, aironet, juniper, srx, fortinet, FortiGate"),
    ("network", DEVICE, "palo alto, check point, checkpoint, SonicWall, aruba, arista, ruckus, ubiquiti, MikroTik, switch"),
    ("network", DEVICE, "router, firewall, access point, brocade, extreme networks, PowerConnect, ProCurve"),
    ("load_balancer", DEVICE, "f5, big ip, bigip, NetScaler, kemp, LoadMaster, load balancer, a10 networks"),
    ("storage", PARTICULAR, "NetApp, isilon, PowerVault, PowerStore, PowerMax, PowerScale, vnx, vmax, data domain, nimble"),
    ("storage", PARTICULAR, "3par, storwize, FlashSystem, FlashArray, FlashBlade, pure storage, synology, qnap, StoreOnce"),
    ("storage", PARTICULAR, "msa, storage, disk array, tape library"),
    ("other", PARTICULAR, "LaserJet, OfficeJet, DesignJet, lexmark, kyocera, smart ups, pdu, printer, latitude, ThinkPad"),
    ("other", PARTICULAR, "EliteBook, ProBook, MacBook, iphone, ipad, OptiPlex, surface pro, ImageRunner"),
    ("virtual_machine", MACHINE, "virtual platform, virtual machine, VMware7, vmware virtual, VirtualBox, kvm, qemu"),
    ("virtual_machine", MACHINE, "hvm domu"),
    ("server", MACHINE, "PowerEdge, ProLiant, primergy, ThinkSystem, system x, ucs, SuperServer, mainframe, power system"),
)  # fmt: skip
#: Words in the names of operating systems that no server has.
SYSTEM_WORDS = (
    ("network", DEVICE, "junos, ios, nx os, nxos, FortiOS, pan os, panos, aruba os, ArubaOS, eos, RouterOS, gaia, vyos"),
    ("network", DEVICE, "comware, cumulus, SonicOS, pfSense, OPNsense, EdgeOS, asa, fabric os, firmware"),
    ("load_balancer", DEVICE, "tmos, big ip, bigip, NetScaler, LoadMaster"),
    ("storage", PARTICULAR, "ontap, OneFS, purity, TrueNAS, FreeNAS, dsm, qts, unity oe, data domain os"),
    ("other", DEVICE, "android, iPadOS, WatchOS, tvOS, apple ios"),
)  # fmt: skip
