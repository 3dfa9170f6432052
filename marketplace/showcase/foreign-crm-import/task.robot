*** Settings ***
Documentation    国外 CRM 导入转换：把 XML 导出转成本系统的商机导入表，姓名、日期、电话、阶段和金额都换成本地写法，缺关键字段的单独列出。
...    Turns the XML export of a foreign CRM into our import table: names, dates, phones, stages and amounts in the local form.
Library          Collections
Library          OperatingSystem
Library          String
Library          XML

*** Variables ***
${INPUT}            sample/export.xml
${OUTPUT}           output
${DEFAULT_OWNER}    待分配

*** Tasks ***
Convert Foreign Export
    ${export}=    Parse XML    ${INPUT}
    @{deals}=    Get Elements    ${export}    Deals/Deal
    VAR    @{rows}
    VAR    @{skipped}
    FOR    ${deal}    IN    @{deals}
        ${row}=    Convert Deal    ${deal}
        ${missing}=    What Is Missing    ${row}
        IF    $missing
            Set To Dictionary    ${row}    原因    ${missing}
            Append To List    ${skipped}    ${row}
        ELSE
            Append To List    ${rows}    ${row}
        END
    END
    @{columns}=    Create List    外部编号    客户名称    商机名称    联系人    手机    邮箱    阶段    金额    预计成交日期    负责人
    Write Table    ${OUTPUT}/import.csv    ${columns}    ${rows}
    @{header}=    Create List    @{columns}    原因
    Write Table    ${OUTPUT}/skipped.csv    ${header}    ${skipped}
    ${good}=    Get Length    ${rows}
    ${bad}=    Get Length    ${skipped}
    Log    ${good} 条可导入，${bad} 条需补全 / ${good} rows to import, ${bad} to be completed.    console=True

*** Keywords ***
Convert Deal
    [Arguments]    ${deal}
    ${id}=    Get Element Attribute    ${deal}    id
    ${company}=    Text Of    ${deal}    AccountName
    ${title}=    Text Of    ${deal}    Title
    ${first}=    Text Of    ${deal}    Contact/FirstName
    ${last}=    Text Of    ${deal}    Contact/LastName
    ${name}=    Local Name    ${last}    ${first}
    ${phone}=    Text Of    ${deal}    Contact/Phone
    ${phone}=    Replace String Using Regexp    ${phone}    \\D    ${EMPTY}
    ${phone}=    Replace String Using Regexp    ${phone}    ^(?:00)?86(1[3-9]\\d{9})$    \\1
    ${mail}=    Text Of    ${deal}    Contact/Email
    ${mail}=    Convert To Lower Case    ${mail}
    ${stage}=    Text Of    ${deal}    Stage
    ${stage}=    Local Stage    ${stage}
    ${amount}=    Text Of    ${deal}    Amount
    ${amount}=    Replace String Using Regexp    ${amount}    [^0-9.]    ${EMPTY}
    ${day}=    Text Of    ${deal}    CloseDate
    ${day}=    Replace String Using Regexp    ${day}    ^(\\d{2})/(\\d{2})/(\\d{4})$    \\3-\\1-\\2
    VAR    &{row}    外部编号=${id}    客户名称=${company}    商机名称=${title}    联系人=${name}    手机=${phone}    邮箱=${mail}
    ...    阶段=${stage}    金额=${amount}    预计成交日期=${day}    负责人=${DEFAULT_OWNER}
    RETURN    ${row}

Text Of
    [Documentation]    The text of a child, or nothing when the export left the child out.
    [Arguments]    ${deal}    ${path}
    @{found}=    Get Elements Texts    ${deal}    ${path}
    IF    $found
        ${text}=    Strip String    ${found}[0]
        RETURN    ${text}
    END
    RETURN    ${EMPTY}

Local Name
    [Documentation]    Chinese names are joined surname first; names in Latin letters keep their order and the space.
    [Arguments]    ${last}    ${first}
    ${latin}=    Get Regexp Matches    ${last}${first}    [A-Za-z]
    IF    $latin
        ${name}=    Strip String    ${first} ${last}
        RETURN    ${name}
    END
    RETURN    ${last}${first}

Local Stage
    [Arguments]    ${stage}
    VAR    &{stages}    Prospecting=初步接触    Qualification=需求确认    Needs Analysis=需求确认    Proposal=方案报价
    ...    Negotiation=商务谈判    Closed Won=赢单    Closed Lost=输单
    ${local}=    Get From Dictionary    ${stages}    ${stage}    default=待确认
    RETURN    ${local}

What Is Missing
    [Documentation]    Why the import would refuse the row; nothing when it would take it.
    [Arguments]    ${row}
    FOR    ${column}    ${pattern}    ${reason}    IN
    ...    客户名称    .    缺客户名称
    ...    联系人    .    缺联系人
    ...    手机    ^1[3-9]\\d{9}$    手机号无效
    ...    预计成交日期    ^\\d{4}-\\d{2}-\\d{2}$    成交日期无法识别
    ...    阶段    ^(?!待确认)    阶段无法对应
        ${fine}=    Get Regexp Matches    ${row}[${column}]    ${pattern}
        ${fine}=    Get Length    ${fine}
        IF    $fine    CONTINUE
        RETURN    ${reason}
    END
    RETURN    ${EMPTY}

Write Table
    [Documentation]    Writes a CSV file that Excel opens with Chinese text intact. A cell can't become a formula.
    [Arguments]    ${path}    ${header}    ${rows}
    ${first}=    Catenate    SEPARATOR=,    @{header}
    VAR    @{lines}    ${first}
    FOR    ${row}    IN    @{rows}
        VAR    @{cells}
        FOR    ${column}    IN    @{header}
            ${cell}=    Get From Dictionary    ${row}    ${column}    default=${EMPTY}
            Append To List    ${cells}    ${cell}
        END
        ${line}=    Write Cells    ${cells}
        Append To List    ${lines}    ${line}
    END
    ${text}=    Catenate    SEPARATOR=\n    @{lines}
    Create File    ${path}    ${text}\n    encoding=UTF-8-SIG

Write Cells
    [Documentation]    One line; only cells that need it are quoted or kept from becoming a formula.
    [Arguments]    ${cells}
    ${line}=    Catenate    SEPARATOR=\x1f    @{cells}
    ${special}=    Get Regexp Matches    ${line}    [,"]|(?:^|\x1f)[=@]
    IF    $special
        VAR    @{plain}    @{cells}
        VAR    @{cells}
        FOR    ${cell}    IN    @{plain}
            ${cell}=    Convert To String    ${cell}
            ${cell}=    Replace String Using Regexp    ${cell}    ^([=@])    '\\1
            ${cell}=    Replace String    ${cell}    "    ""
            ${cell}=    Replace String Using Regexp    ${cell}    ^(.*[,"].*)$    "\\1"
            Append To List    ${cells}    ${cell}
        END
        ${line}=    Catenate    SEPARATOR=,    @{cells}
    ELSE
        ${line}=    Replace String    ${line}    \x1f    ,
    END
    RETURN    ${line}
